"""The words that the report uses, for a reader who knows neither the paper nor the trade."""

from __future__ import annotations

TERMS: tuple[tuple[str, str], ...] = (
    (
        "I_enc",
        "The encrypted picture, which everybody may see. Where a face was, it shows numbers that look like coloured "
        "noise; all around it the photo is as it was.",
    ),
    (
        "flow",
        "A network that turns a face into as many numbers as it has pixel values, and those numbers back into the same "
        "face. Everybody has it; it is no secret. Here: a normalizing flow (Glow).",
    ),
    ("latent", "The numbers that the flow makes of a face. Without protection they are as good as the face."),
    (
        "rotation, key",
        "What hides the latent: it is turned by a secret transform that a 32-byte key determines. `sphere`, the "
        "default, turns all numbers at once; `block` is the paper's way, kept for comparison.",
    ),
    (
        "fake",
        "A face that anybody may draw in place of an encrypted one, by running the flow backwards on the encrypted "
        "numbers. It shows a person who does not exist; another key gives another fake.",
    ),
    (
        "lambda, temperature",
        "How far fakes may be from the average face, from 0 to 1. Smaller: all alike. Larger: varied, and some spoilt.",
    ),
    (
        "recovery, flow alone",
        "A trusted reader has two ways back: the exact layer (the original pixels, encrypted by AES-256-GCM) and the "
        "flow alone, which gives back nearly the same face.",
    ),
    ("exact layer", "The original pixels of a face under AES-256-GCM; opened, they are equal bit for bit."),
    (
        "recogniser",
        "A network that tells whether two photos show one person. It gives each face a list of numbers; the nearer two "
        "lists (cosine: 1 is equal, about 0 are strangers), the more likely it is one person.",
    ),
    (
        "probe, gallery, mate",
        "Identification: the attacker has a photo to be named (the probe) and a collection of photos with names (the "
        "gallery). Mates are the gallery's photos of the person in the probe.",
    ),
    (
        "top-1, top-5",
        "Top-1: the share of probes for which the most similar photo of the gallery shows the right person. Top-5: the "
        "right person is among the five most similar photos. Low is good for a cover, high for a recovery.",
    ),
    (
        "chance",
        "What blind guessing would reach: the share of the gallery's photos that show the right person. Nothing can "
        "protect better than chance.",
    ),
    (
        "interval, 95 %",
        "Repeating the measurement with other people would give a slightly different number. The interval says how "
        "different: it is built so that it holds the true value in 95 of 100 such repetitions. Found by drawing people "
        "again and again from those measured (bootstrap); whole people, since photos of one person are alike.",
    ),
    (
        "control, ideal cover",
        "The same attack on something that cannot leak: numbers drawn without looking at the face. What an attack "
        "reaches beyond the control is what the cover leaks.",
    ),
    (
        "false accept, true accept",
        "Verification: is this photo of that person? False accept rate: how often two strangers are taken for one "
        "person. True accept rate: how often one person's two photos are.",
    ),
    ("PSNR", "How near two pictures are, in decibels. From about 40 dB nobody sees a difference."),
    ("SSIM", "How alike two pictures are in structure; 1 is equal."),
    (
        "LPIPS",
        "A distance of two pictures as a network sees them: 0 is equal. Which network stands with the figure.",
    ),
    (
        "Frechet distance",
        "How far a set of fakes is from a set of real faces, as a recogniser sees them: 0 is no difference. It depends "
        "on the number of faces, so it stands beside that of as many real ones.",
    ),
    (
        "IoU",
        "Intersection over union: how well a box that a detector drew lies on the reference box; 1 is exactly.",
    ),
    (
        "recall, precision",
        "Of a detector. Recall: how many of the faces it finds. Precision: how many of its finds are faces.",
    ),
    (
        "mean difference, disparate impact",
        "Of fairness. The mean of a group with less privilege minus (mean difference, 0 is fair) or divided by "
        "(disparate impact, 1 is fair) that of the group with more.",
    ),
    (
        "envelope, suite",
        "How a 32-byte key travels to one recipient: encrypted to that recipient's public key. Suite 1 uses elliptic "
        "curves; suite 2 also resists a quantum computer.",
    ),
    (
        "5th percentile, lowest 5 %",
        "The value that 95 of 100 faces exceed: how bad the bad cases are, beside the mean.",
    ),
    ("gas", "What a step costs on an Ethereum chain: the unit in which the chain counts work. Fewer is cheaper."),
    (
        "seed, digest",
        "The seed decides everything that is drawn at random, so that a run can be repeated. A digest (SHA-256) is a "
        "fingerprint of data: equal digests, equal data.",
    ),
)
