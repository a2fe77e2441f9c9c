"""What others printed of faces that were hidden and opened again, each with its source.

Only figures that could be read at their source are here. The tables of FIT and RiDDLE could not: their cells are empty.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One line. `psnr_db`, `ssim` and `identity` as printed, empty where nothing could be read; `of` says of what."""

    name: str
    of: str
    source: str
    psnr_db: str = ""
    ssim: str = ""
    identity: str = ""
    remark: str = ""


PUBLISHED = (
    Published(
        "FIT (Gu et al., ECCV 2020)",
        "faces of 128 px; a password changes the face, the same password changes it back",
        "https://arxiv.org/abs/1911.11759",
        remark="the paper's own tables could not be read here",
    ),
    Published(
        "RiDDLE (Li et al., CVPR 2023)",
        "faces in StyleGAN2's latent space, encrypted by a password",
        "https://arxiv.org/abs/2303.05171",
        remark="the paper's own tables could not be read here",
    ),
    Published(
        "FlowCrypt (Yang, Ping and Xu, 2025)",
        "whole photos, nothing of them left to see or to use; three data sets",
        "https://arxiv.org/abs/2509.18696",
        psnr_db="100",
        remark="as its abstract says: recovery quality with 100 dB, a network of 1 M parameters",
    ),
    Published(
        "FIT, told by others",
        "a README that compares; which faces and how many is not said",
        "https://github.com/No330ah/Robust-Face-Anonymization-via-Adversarial-Watermarking-in-Diffusion-Models",
        psnr_db="32.30",
        ssim="0.775",
        identity="0.95",
        remark="second hand, not reviewed; a second table there says 28.30 dB",
    ),
    Published(
        "RiDDLE, told by others",
        "the same README",
        "https://github.com/No330ah/Robust-Face-Anonymization-via-Adversarial-Watermarking-in-Diffusion-Models",
        psnr_db="31.36",
        ssim="0.793",
        identity="0.80",
        remark="second hand, not reviewed; a second table there says 19.49 dB and 0.762",
    ),
)
