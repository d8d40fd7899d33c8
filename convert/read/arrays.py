"""The arrays of a conversion: values in float32, and encoded bytes."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]
