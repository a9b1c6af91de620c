"""The head Pod's supervisor: brings a GCS that died back in place, before anything in the cluster notices.

Standard library only, Python 3.8 or later, and nothing of Headstay is imported: it runs inside the user's own image.

    container: launch.py -- Redis answers? --> ray start --block (Ray's own code)
                                                   +-- raylet, dashboard, ...: watched by Ray, as ever
                                                   +-- supervise.py in gcs_server's place
                                                            +-- gcs_server: watched here, started again in place

Ray sees one process that does not die. So `--block` keeps its meaning for every other process, and when the keeper
gives up it ends, and the head restarts as it would have without it.
"""
