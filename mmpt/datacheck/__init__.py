"""Is the data of a job there, and is it whole: asked of files, without a model.

`needed` says which feature files an annotation asks for, `opening` opens files one by one.  What
of this a job file asks for is `mmpt_cli.check_data`'s business.
"""

from mmpt.datacheck.needed import NEEDED, Needed
from mmpt.datacheck.opening import Opening, line_of, open_all, problem_of_checkpoint

__all__ = ["NEEDED", "Needed", "Opening", "line_of", "open_all", "problem_of_checkpoint"]
