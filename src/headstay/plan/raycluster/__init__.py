"""What a RayCluster's Pods, Services, Job, finalizer and status should be, and why. Pure: time is an argument."""
