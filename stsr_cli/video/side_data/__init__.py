"""What frames and streams carry beside their pictures: captions, stereo 3D, spherical video, and other metadata.

- `decoded`: what a decoder gives; `bitstream`: messages in encoded packets; `queue`: the way around the network.
- `support`: what an output carries, found by trying.
"""
