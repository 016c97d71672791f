"""How good a project is: how well its nodes are described, tested and owned, and how it is built. Pure, linear in nodes and edges.

counts         what each node has of what it could have, and the score
tallies        the same for a whole project and its parts, as it is stored
layers         staging, intermediate, marts: by names and by folders
folder_cycles  folders that read each other
findings       what could be built better, with the nodes
differences    what one commit has or lacks that another one does not, by what hangs on it
"""
