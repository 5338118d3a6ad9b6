"""The synthetic world: videos of coloured shapes that move, with questions whose answers are known exactly."""
