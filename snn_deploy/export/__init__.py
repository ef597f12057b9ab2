"""Writers of model files, bundles and their verification."""
