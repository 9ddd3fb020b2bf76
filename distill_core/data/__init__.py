"""Small image sets as tensors: loading, downloads, uploaded zips, the choice of a run's images, drawings."""
