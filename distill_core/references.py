"""REFERENCES: the papers, books and data sets that the lab cites, each in full, by first author and year.

Texts cite briefly and name the place: "Hinton et al. 2015, section 2", as read in a copy, or in a quotation that names it.
Where neither could be had, they have "(section not checked)" instead of the place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"(?:van de[rn] )?[A-Z][\w'-]*[a-z][\w'-]*"
CITATION = re.compile(rf"\b{_NAME}(?:(?:, {_NAME})* and {_NAME}| et al\.)? (?:18|19|20)\d\d\b")


@dataclass(frozen=True)
class Reference:
    """One publication. `authors`: full names, separated by commas; `where`: where it appeared, and its number on arXiv."""

    authors: str
    year: int
    title: str
    where: str

    @property
    def surnames(self) -> list[str]:
        """The authors' surnames, as citations have them."""
        return [re.sub(r"^.*? (?=van de[rn] |\S+$)", "", name) for name in self.authors.split(", ")]

    def __str__(self) -> str:
        """The reference in one line of Markdown."""
        return f"{self.authors}, {self.year}. *{self.title}*. {self.where}."


def citations(text: str) -> list[str]:
    """Every citation in a text, such as "Hinton, Vinyals and Dean 2015", "Hinton et al. 2015" or "Jordan 2024"."""
    return CITATION.findall(" ".join(text.split()))


def reference(citation: str) -> Reference:
    """The full reference of a citation. Raises `ValueError` if it is not in the list."""
    key = f"{re.split(',| and | et al| (?=[0-9])', citation)[0]} {citation[-4:]}"
    if key not in REFERENCES:
        raise ValueError(f"citation '{citation}' has no entry '{key}' in REFERENCES of distill_core/references.py; add it there")
    return REFERENCES[key]


REFERENCES = {
    "Agarwal 2024": Reference(
        "Rishabh Agarwal, Nino Vieillard, Yongchao Zhou, Piotr Stanczyk, Sabela Ramos, Matthieu Geist, Olivier Bachem", 2024,
        "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", "ICLR, arXiv 2306.13649",
    ),
    "Agresti 2005": Reference(
        "Alan Agresti, Yongyi Min", 2005, "Simple improved confidence intervals for comparing matched proportions",
        "Statistics in Medicine 24",
    ),
    "Alpaydin 1998": Reference(
        "Ethem Alpaydin, Cenk Kaynak", 1998, "Optical Recognition of Handwritten Digits", "UCI Machine Learning Repository"
    ),
    "Ba 2014": Reference("Lei Jimmy Ba, Rich Caruana", 2014, "Do Deep Nets Really Need to be Deep?", "NIPS, arXiv 1312.6184"),
    "Beyer 2022": Reference(
        "Lucas Beyer, Xiaohua Zhai, Am\u00e9lie Royer, Larisa Markeeva, Rohan Anil, Alexander Kolesnikov", 2022,
        "Knowledge distillation: A good teacher is patient and consistent", "CVPR, arXiv 2106.05237",
    ),
    "Bucil\u0103 2006": Reference("Cristian Bucil\u0103, Rich Caruana, Alexandru Niculescu-Mizil", 2006, "Model Compression", "KDD"),
    "Carlini 2021": Reference(
        "Nicholas Carlini, Florian Tramer, Eric Wallace, Matthew Jagielski, Ariel Herbert-Voss, Katherine Lee, Adam Roberts, Tom Brown, "
        "Dawn Song, Ulfar Erlingsson, Alina Oprea, Colin Raffel", 2021,
        "Extracting Training Data from Large Language Models", "USENIX Security, arXiv 2012.07805",
    ),
    "Cho 2014": Reference(
        "Kyunghyun Cho, Bart van Merri\u00ebnboer, Caglar Gulcehre, Dzmitry Bahdanau, Fethi Bougares, Holger Schwenk, Yoshua Bengio", 2014,
        "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", "EMNLP, arXiv 1406.1078",
    ),
    "Cho 2019": Reference(
        "Jang Hyun Cho, Bharath Hariharan", 2019, "On the Efficacy of Knowledge Distillation", "ICCV, arXiv 1910.01348"
    ),
    "Cloud 2025": Reference(
        "Alex Cloud, Minh Le, James Chua, Jan Betley, Anna Sztyber-Betley, Jacob Hilton, Samuel Marks, Owain Evans", 2025,
        "Subliminal Learning: Language Models Transmit Behavioral Traits via Hidden Signals in Data", "arXiv 2507.14805",
    ),
    "Davison 1997": Reference(
        "Anthony Davison, David Hinkley", 1997, "Bootstrap Methods and their Application", "Cambridge University Press"
    ),
    "Denton 2014": Reference(
        "Emily Denton, Wojciech Zaremba, Joan Bruna, Yann LeCun, Rob Fergus", 2014,
        "Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation", "NeurIPS, arXiv 1404.0736",
    ),
    "DeVries 2017": Reference(
        "Terrance DeVries, Graham Taylor", 2017, "Improved Regularization of Convolutional Neural Networks with Cutout",
        "arXiv 1708.04552",
    ),
    "Furlanello 2018": Reference(
        "Tommaso Furlanello, Zachary Lipton, Michael Tschannen, Laurent Itti, Anima Anandkumar", 2018, "Born-Again Neural Networks",
        "ICML, arXiv 1805.04770",
    ),
    "Gandhi 2023": Reference(
        "Sanchit Gandhi, Patrick von Platen, Alexander M. Rush", 2023,
        "Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labelling", "arXiv 2311.00430",
    ),
    "Ge 2021": Reference(
        "Zheng Ge, Songtao Liu, Feng Wang, Zeming Li, Jian Sun", 2021, "YOLOX: Exceeding YOLO Series in 2021", "arXiv 2107.08430"
    ),
    "Geifman 2017": Reference(
        "Yonatan Geifman, Ran El-Yaniv", 2017, "Selective Classification for Deep Neural Networks", "NIPS, arXiv 1705.08500"
    ),
    "Gonzalez 1985": Reference(
        "Teofilo Gonzalez", 1985, "Clustering to minimize the maximum intercluster distance", "Theoretical Computer Science 38"
    ),
    "Gu 2024": Reference(
        "Yuxian Gu, Li Dong, Furu Wei, Minlie Huang", 2024, "MiniLLM: Knowledge Distillation of Large Language Models",
        "ICLR, arXiv 2306.08543",
    ),
    "Guo 2017": Reference(
        "Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Weinberger", 2017, "On Calibration of Modern Neural Networks", "ICML, arXiv 1706.04599"
    ),
    "Guo 2025": Reference(
        "Daya Guo, Dejian Yang, Haowei Zhang, Junxiao Song and about 200 more", 2025,
        "DeepSeek-R1: Incentivizing Reasoning Capability in LLMs via Reinforcement Learning", "arXiv 2501.12948",
    ),
    "Han 2015": Reference(
        "Song Han, Jeff Pool, John Tran, William Dally", 2015,
        "Learning both Weights and Connections for Efficient Neural Networks", "NeurIPS, arXiv 1506.02626",
    ),
    "He 2016": Reference(
        "Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun", 2016, "Deep Residual Learning for Image Recognition",
        "CVPR, arXiv 1512.03385",
    ),
    "Hendrycks 2019": Reference(
        "Dan Hendrycks, Thomas Dietterich", 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
        "ICLR, arXiv 1903.12261",
    ),
    "Hinton 2015": Reference(
        "Geoffrey Hinton, Oriol Vinyals, Jeff Dean", 2015, "Distilling the Knowledge in a Neural Network",
        "NIPS Deep Learning Workshop, arXiv 1503.02531",
    ),
    "Holm 1979": Reference(
        "Sture Holm", 1979, "A Simple Sequentially Rejective Multiple Test Procedure", "Scandinavian Journal of Statistics 6"
    ),
    "Hooker 2020": Reference(
        "Sara Hooker, Nyalleng Moorosi, Gregory Clark, Samy Bengio, Emily Denton", 2020,
        "Characterising Bias in Compressed Models", "arXiv 2010.03058",
    ),
    "Hsu 1984": Reference(
        "Jason Hsu", 1984, "Constrained simultaneous confidence intervals for multiple comparisons with the best",
        "The Annals of Statistics 12",
    ),
    "Huang 2022": Reference(
        "Tao Huang, Shan You, Fei Wang, Chen Qian, Chang Xu", 2022, "Knowledge Distillation from A Stronger Teacher",
        "NeurIPS, arXiv 2205.10536",
    ),
    "Jacob 2018": Reference(
        "Benoit Jacob, Skirmantas Kligys, Bo Chen, Menglong Zhu, Matthew Tang, Andrew Howard, Hartwig Adam, Dmitry Kalenichenko", 2018,
        "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", "CVPR, arXiv 1712.05877",
    ),
    "Jiao 2020": Reference(
        "Xiaoqi Jiao, Yichun Yin, Lifeng Shang, Xin Jiang, Xiao Chen, Linlin Li, Fang Wang, Qun Liu", 2020,
        "TinyBERT: Distilling BERT for Natural Language Understanding", "Findings of EMNLP, arXiv 1909.10351",
    ),
    "Jordan 2024": Reference("Keller Jordan", 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", "arXiv 2404.00498"),
    "Kim 2016": Reference("Yoon Kim, Alexander M. Rush", 2016, "Sequence-Level Knowledge Distillation", "EMNLP, arXiv 1606.07947"),
    "Kim 2021": Reference(
        "Taehyeon Kim, Jaehoon Oh, Nak Yil Kim, Sangwook Cho, Se-Young Yun", 2021,
        "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation", "IJCAI, arXiv 2105.08919",
    ),
    "LeCun 1998": Reference(
        "Yann LeCun, Corinna Cortes, Christopher Burges", 1998, "The MNIST database of handwritten digits", "yann.lecun.com/exdb/mnist"
    ),
    "Li 2017": Reference(
        "Hao Li, Asim Kadav, Igor Durdanovic, Hanan Samet, Hans Peter Graf", 2017, "Pruning Filters for Efficient ConvNets",
        "ICLR, arXiv 1608.08710",
    ),
    "Li 2019": Reference(
        "Daliang Li, Junpu Wang", 2019, "FedMD: Heterogenous Federated Learning via Model Distillation", "arXiv 1910.03581"
    ),
    "Lin 1991": Reference(
        "Jianhua Lin", 1991, "Divergence measures based on the Shannon entropy", "IEEE Transactions on Information Theory 37"
    ),
    "McNemar 1947": Reference(
        "Quinn McNemar", 1947, "Note on the sampling error of the difference between correlated proportions or percentages",
        "Psychometrika 12",
    ),
    "Menghani 2019": Reference("Gaurav Menghani, Sujith Ravi", 2019, "Learning from a Teacher using Unlabeled Data", "arXiv 1911.05275"),
    "Mirzadeh 2020": Reference(
        "Seyed Iman Mirzadeh, Mehrdad Farajtabar, Ang Li, Nir Levine, Akihiro Matsukawa, Hassan Ghasemzadeh", 2020,
        "Improved Knowledge Distillation via Teacher Assistant", "AAAI, arXiv 1902.03393",
    ),
    "M\u00fcller 2019": Reference(
        "Rafael M\u00fcller, Simon Kornblith, Geoffrey Hinton", 2019, "When Does Label Smoothing Help?", "NeurIPS, arXiv 1906.02629"
    ),
    "Pan 2025": Reference(
        "Leyi Pan, Aiwei Liu, Shiyu Huang, Yijian Lu, Xuming Hu, Lijie Wen, Irwin King, Philip S. Yu", 2025,
        "Can LLM Watermarks Robustly Prevent Unauthorized Knowledge Distillation?", "ACL, arXiv 2502.11598",
    ),
    "Papernot 2017": Reference(
        "Nicolas Papernot, Mart\u00edn Abadi, \u00dalfar Erlingsson, Ian Goodfellow, Kunal Talwar", 2017,
        "Semi-supervised Knowledge Transfer for Deep Learning from Private Training Data", "ICLR, arXiv 1610.05755",
    ),
    "Park 2019": Reference(
        "Wonpyo Park, Dongju Kim, Yan Lu, Minsu Cho", 2019, "Relational Knowledge Distillation", "CVPR, arXiv 1904.05068"
    ),
    "Peng 2024": Reference(
        "Hao Peng, Xin Lv, Yushi Bai, Zijun Yao, Jiajie Zhang, Lei Hou, Juanzi Li", 2024,
        "Pre-training Distillation for Large Language Models: A Design Space Exploration", "arXiv 2410.16215",
    ),
    "Peterson 2019": Reference(
        "Joshua Peterson, Ruairidh Battleday, Thomas Griffiths, Olga Russakovsky", 2019,
        "Human uncertainty makes classification more robust", "ICCV, arXiv 1908.07086",
    ),
    "Radford 2018": Reference(
        "Alec Radford, Karthik Narasimhan, Tim Salimans, Ilya Sutskever", 2018,
        "Improving Language Understanding by Generative Pre-Training", "OpenAI",
    ),
    "Romero 2015": Reference(
        "Adriana Romero, Nicolas Ballas, Samira Ebrahimi Kahou, Antoine Chassang, Carlo Gatta, Yoshua Bengio", 2015,
        "FitNets: Hints for Thin Deep Nets", "ICLR, arXiv 1412.6550",
    ),
    "Sanh 2019": Reference(
        "Victor Sanh, Lysandre Debut, Julien Chaumond, Thomas Wolf", 2019,
        "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter", "NeurIPS workshop, arXiv 1910.01108",
    ),
    "Shen 2021": Reference(
        "Zhiqiang Shen, Zechun Liu, Dejia Xu, Zitian Chen, Kwang-Ting Cheng, Marios Savvides", 2021,
        "Is Label Smoothing Truly Incompatible with Knowledge Distillation: An Empirical Study", "ICLR, arXiv 2104.00676",
    ),
    "Stanton 2021": Reference(
        "Samuel Stanton, Pavel Izmailov, Polina Kirichenko, Alexander Alemi, Andrew Gordon Wilson", 2021,
        "Does Knowledge Distillation Really Work?", "NeurIPS, arXiv 2106.05945",
    ),
    "Student 1908": Reference("Student", 1908, "The probable error of a mean", "Biometrika 6"),
    "Sun 2024": Reference(
        "Shangquan Sun, Wenqi Ren, Jingzhi Li, Rui Wang, Xiaochun Cao", 2024, "Logit Standardization in Knowledge Distillation",
        "CVPR, arXiv 2403.01427",
    ),
    "Szegedy 2016": Reference(
        "Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna", 2016,
        "Rethinking the Inception Architecture for Computer Vision", "CVPR, arXiv 1512.00567",
    ),
    "Tian 2020": Reference(
        "Yonglong Tian, Dilip Krishnan, Phillip Isola", 2020, "Contrastive Representation Distillation", "ICLR, arXiv 1910.10699"
    ),
    "Tung 2019": Reference(
        "Frederick Tung, Greg Mori", 2019, "Similarity-Preserving Knowledge Distillation", "ICCV, arXiv 1907.09682"
    ),
    "van den Oord 2018": Reference(
        "Aaron van den Oord, Yazhe Li, Oriol Vinyals", 2018, "Representation Learning with Contrastive Predictive Coding",
        "arXiv 1807.03748",
    ),
    "van der Maaten 2008": Reference(
        "Laurens van der Maaten, Geoffrey Hinton", 2008, "Visualizing Data using t-SNE", "Journal of Machine Learning Research 9"
    ),
    "Vaswani 2017": Reference(
        "Ashish Vaswani, Noam Shazeer, Niki Parmar, Jakob Uszkoreit, Llion Jones, Aidan N. Gomez, \u0141ukasz Kaiser, Illia Polosukhin",
        2017,
        "Attention Is All You Need", "NeurIPS, arXiv 1706.03762",
    ),
    "Wilson 1927": Reference(
        "Edwin Wilson", 1927, "Probable inference, the law of succession, and statistical inference",
        "Journal of the American Statistical Association 22",
    ),
    "Wu 2023": Reference(
        "Kan Wu, Houwen Peng, Zhenghong Zhou, Bin Xiao, Mengchen Liu, Lu Yuan, Hong Xuan, Michael Valenzuela, Xi Stephen Chen, "
        "Xinggang Wang, Hongyang Chao, Han Hu", 2023,
        "TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance", "ICCV, arXiv 2309.12314",
    ),
    "Zagoruyko 2017": Reference(
        "Sergey Zagoruyko, Nikos Komodakis", 2017,
        "Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention Transfer",
        "ICLR, arXiv 1612.03928",
    ),
    "Zhang 2018": Reference(
        "Ying Zhang, Tao Xiang, Timothy Hospedales, Huchuan Lu", 2018, "Deep Mutual Learning", "CVPR, arXiv 1706.00384"
    ),
    "Zhang 2024": Reference(
        "Peiyuan Zhang, Guangtao Zeng, Tianduo Wang, Wei Lu", 2024, "TinyLlama: An Open-Source Small Language Model", "arXiv 2401.02385",
    ),
    "Zhao 2022": Reference(
        "Borui Zhao, Quan Cui, Renjie Song, Yiyu Qiu, Jiajun Liang", 2022, "Decoupled Knowledge Distillation", "CVPR, arXiv 2203.08679"
    ),
}  # fmt: skip
