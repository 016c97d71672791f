"""Where the nodes of a lineage are drawn: left to right in layers, the same place for the same lineage. Pure.

scene          the nodes that a layout shows, and the edges between them
comparison     two lineages as one, and what differs in it
layers         the layer of each node
routes         long edges, divided into steps from layer to layer
ordering       the order within each layer of a whole lineage
untangling     the order within each layer of a few nodes
coordinates    whole pixels
overview       all nodes at once
neighbourhood  the nodes around one
shapes         how the nodes of each resource type look
svg            a neighbourhood as a picture
"""
