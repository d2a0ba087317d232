"""The ablations of the paper's table 7 in miniature: rows x noise rates x seeds on demo corpora.

Reading order: `settings` (what can be asked for, which job files), `training` (one training),
`cells` (what is finished, who does what), `tables` (Markdown and plot). `mmpt study` runs it.
"""
