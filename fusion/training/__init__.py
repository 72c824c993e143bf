"""Training of the networks, the data for it, and a virtual camera that makes such data from radiance maps."""
