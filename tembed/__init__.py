"""torch.nn.Embedding on Triton kernels: change the import, keep the code.

from tembed import Embedding            # torch.nn.Embedding
from tembed import embedding            # torch.nn.functional.embedding
"""

from .adopt import replace_embeddings
from .checks import index_checks, set_index_checks
from .functional import embedding
from .module import Embedding
from .ops import path

__version__ = "0.1.0"

__all__ = ["Embedding", "__version__", "embedding", "index_checks", "path", "replace_embeddings", "set_index_checks"]
