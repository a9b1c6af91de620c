"""Fault drills: a workload, a fault, a recorded history, and checkers that judge the history alone.

    place --> workload (a driver in the cluster) ----+
          --> fault (inject, heal) ------------------+--> history --> checkers, figures --> report (JSON, HTML)
          --> onlooker (Pods, recoveries) -----------+

What is recorded is written down as it happens, so that a drill that is cut short has a valid report of what it did.
"""
