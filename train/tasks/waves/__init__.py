"""What the tasks that begin with sound itself share: recipe keys, tracks and their crops, weights to start from."""
