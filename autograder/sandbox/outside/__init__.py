"""The grader's side of the wall: it starts workers, limits them, talks to them, and believes nothing that they say.

backends      the sandboxes by name
bubblewrap    the default one; `warm` is its handle on a warm process
plain         others, for machines that refuse namespaces
room          what of ours a worker gets, and the command that starts it
handle        a running worker, whichever backend started it; `channel` is its door for calls
limits        how much a submission may use; `usage` looks at what it does use
gpu           a GPU for a worker
conformance   what a backend guarantees, asked from inside
"""
