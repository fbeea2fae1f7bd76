"""torch.nn.Embedding on Triton kernels: change the import, keep the code.

from tembed import Embedding            # torch.nn.Embedding
from tembed import embedding            # torch.nn.functional.embedding
"""

from .adopt import replace_embeddings
from .functional import embedding
from .modes import index_checks, set_index_checks
from .module import Embedding
from .names import name_embeddings
from .ops import path
from .reports import check_indices

__version__ = "0.1.0"

__all__ = [
    "Embedding",
    "__version__",
    "check_indices",
    "embedding",
    "index_checks",
    "name_embeddings",
    "path",
    "replace_embeddings",
    "set_index_checks",
]
