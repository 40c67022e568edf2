"""Music videos: fetched or there already, looked through once, and dropped where they are none."""
