"""The figures and the checks of the notebooks, one folder for each notebook.

A check takes the learner's function or number, tries it on several inputs, and answers with a
`Verdict`, which a notebook shows. It says what is wrong, not only that it is. It never raises: an
exercise that is not solved does not stop the notebook.
"""
