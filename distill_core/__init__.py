"""Knowledge distillation, as a lecture: read the files in this order, each needs only those before it."""

READING_ORDER = (
    "losses",  # the mathematics
    "paths",  # where data, caches and runs are kept
    "machine",  # the cores that a process may use
    "precision",  # products in bfloat16, and whether this machine has instructions for them
    "data.dataset",  # an image set as tensors; subsets, label noise, random shifts
    "data.download",  # downloads with checksums
    "data.decoding",  # the images in a zip as arrays, on all cores
    "data.uploads",  # an image set from a zip
    "data.text",  # a text as windows of tokens
    "data.grammar",  # the little language, whose next-word distribution is known
    "data.texts",  # the texts by name, and a learner's own
    "data.datasets",  # the image sets by name
    "data.jpeg_copy",  # the JPEG copy of CIFAR-10, made from the original
    "data.unlabelled",  # images without labels: of the same set, of another, noise
    "data.drawing",  # a drawing, centred like the digits of the data sets
    "data.image_order",  # images by ambiguity, by difficulty, by the teacher's errors
    "data.cifar10h",  # human labels of CIFAR-10, if that file is on the machine
    "language_models",  # a transformer and a recurrent network, and how they write
    "models",  # teachers and students
    "writing",  # what a language model writes, and how its sentences compare with the truth
    "compression.pruning",  # weights set to 0, units removed
    "compression.low_rank",  # a layer as the product of two thin ones
    "compression.quantisation",  # weights of a few bits
    "compression.recipe",  # what is done to a network, as one value
    "compression.measures",  # parameters, FLOPs, latency
    "compression.packing",  # compressed weights in a file
    "compression.curves",  # accuracy and size over the range of each way to compress
    "compression",  # the names of this package
    "teachers.airbench",  # how the strong teacher for CIFAR-10 is trained
    "teachers.recipes",  # how each teacher is trained
    "teachers.cards",  # what is known of each trained teacher
    "teachers.choosing",  # which teachers a data set has, and its default
    "teachers.weights",  # trained teachers from their files
    "teachers.logit_cache",  # their logits by example index
    "teachers.making",  # training a teacher
    "teachers",  # the names of this package
    "features",  # which layers of two networks are compared, and the layers between them
    "batch",  # what a method gets in one step
    "controls",  # soft targets without the knowledge, and mistakes of public code
    "objectives",  # the methods: which losses, with which weights
    "text_objectives",  # the methods of texts alone
    "bounds",  # whether a chosen value is among others, or within limits
    "method_settings",  # what some methods have beside T and alpha: lambda, beta, k
    "experiment",  # every choice of a run, as one value
    "starts",  # trained networks that a run starts from
    "students",  # the student of an experiment, before its training
    "statistics",  # means, confidence intervals, paired differences
    "bias",  # correcting the bias of classes that a student saw too rarely or too often
    "calibration",  # confidence against accuracy, temperature scaling
    "together",  # networks of one shape that train at once
    "consensus",  # be the teacher: students of a class's soft labels
    "analysis",  # accuracy, agreement, dark knowledge, the conclusion in words
    "training.own_text",  # text that the teacher, or the student itself, writes
    "training.run_data",  # images, labels and teacher logits of a run, batch by batch
    "training.schedule",  # steps, learning rate, when a run is measured
    "training.recording",  # a step on a GPU, recorded and replayed
    "training.records",  # what a run yields
    "training.initial",  # untrained students
    "training.loop",  # the training loop, for one student and its baseline
    "training.perceptrons",  # a step of the smallest students, by hand
    "training.stacked",  # tools for networks with stacked weights
    "training.cohort",  # the loop again, for many students as one batched tensor
    "training.shards",  # a large cohort on all cores
    "trainer",  # the name under which notebooks find `train`
    "cohort",  # the name under which notebooks find `train_cohort`
    "studies.sweep",  # the cells of a sweep
    "studies.presets",  # experiments of the literature
    "studies.replays",  # a recorded run of each preset
    "studies.tuning",  # temperature and weight of a method, chosen on validation images
    "studies.comparison",  # all methods side by side
    "studies.advice",  # students of several sizes at several numbers of labels
    "studies.text_methods",  # the same on texts
    "studies.study",  # an experiment of more than one race: run, kept, judged
    "studies.hinton",  # the studies on MNIST (Hinton et al. 2015, section 3)
    "studies.literature",  # the studies, with their claims
    "export.trained",  # a trained network as it is exported
    "export.files",  # weights as safetensors, a program of torch.export
    "export.onnx_model",  # the network as ONNX, also in 8 bits
    "export.card",  # the model card
    "export.page",  # one HTML file that runs the network
    "export.notebook",  # a notebook that repeats a run's number
    "export.svg",  # figures as SVG
    "export.report",  # a run on one page
    "export",  # all formats by their names
    "serving",  # a network behind an API
    "studies.ladder",  # teacher, student, and the student compressed: size, latency, accuracy
    "trials.transfer",  # a student of other images, or of noise
    "trials.subliminal",  # a student of noise and of outputs without a meaning
    "trials.private",  # teachers that vote with noise
    "trials.federated",  # clients that exchange logits
    "trials.choice_of_images",  # few images that differ against many alike
    "trials.robust",  # the lead on changed images
    "lessons.lesson",  # a question, a guess, an experiment that answers it, an explanation
    "lessons.measured",  # what their experiments showed over ten seeds
    "lessons",  # all lessons: one file each
    "advisor",  # which student, T, alpha and method, and what that rests on
    "budget",  # a choice for a budget, trained against the advisor's
    "checks",  # questions on all this, with answers
    "glossary",  # the terms of the lessons, and the history of the field
    "references",  # the publications that the files above cite
    "doctor",  # is this machine ready
)
