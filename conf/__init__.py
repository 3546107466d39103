"""The configuration tree; a package, so that it is found inside the wheel too."""
