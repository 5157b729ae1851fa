"""What stands in for the 3D Slicer application in tests; see Docs/testing-without-slicer.md."""
