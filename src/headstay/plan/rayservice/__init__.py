"""What a RayService's RayClusters, Services, Serve applications and status should be, and why. Pure, as all plans."""
