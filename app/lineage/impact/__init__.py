"""What a change does: classes of change, what they reach downstream, and what they break. Pure.

`model` has the types of all this.
"""
