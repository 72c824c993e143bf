"""Training: the loop, its log, datasets, and pictures made from radiance maps by a virtual camera."""
