"""Trials: experiments that are more than races of a student and its baseline. Each file trains its networks in its own way.

A trial is a function of the number of seeds. It returns `Results`: by arm, for each seed the accuracies of two networks, the
student of the arm and the one that it is compared with.
"""
