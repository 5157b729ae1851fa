"""The Slicer side that both modules share: the scene, the panels, work in the background.

Only these rooms and the two module files know Slicer, Qt and VTK; the science behind them
(`TACEResponseLib`) does not. Everything that touches nodes or widgets runs on the main thread.
"""
