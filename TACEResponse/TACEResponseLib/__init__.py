"""The science of TACEResponse: plain Python, no Slicer, no Qt.

Read in this order the rooms are the Methods section of a paper: `cases`, `readers`,
`radiomics`, `reliability`, `selection`, `classifiers`, `patches`, `network`, `fusion`,
`response_model`, `evaluation`, `report`. Importing this package imports none of them, so that
3D Slicer can look inside before anything is installed.
"""

__version__ = "0.1.0"
