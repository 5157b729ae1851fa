"""Patches with a known answer: grey discs, of which those of responders hold one bright spot."""

import numpy as np
from scipy import ndimage

SIZE_PX = 224
SPOT_RADIUS_PX = 20


def planted_patches(patients: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (patients, 224, 224, 3), labels (patients,) and spot centres (patients, 2) as row, column.

    Channels as in `patches`: tumour, surroundings, mask. Every second patient is a responder. The
    place of the spot is drawn for all patients and painted for responders only.
    """
    rng = np.random.default_rng(seed)
    row, column = np.indices((SIZE_PX, SIZE_PX))
    pixels = np.empty((patients, SIZE_PX, SIZE_PX, 3), dtype=np.float32)
    labels = np.arange(patients) % 2
    spots = np.empty((patients, 2))
    for patient, label in enumerate(labels):
        radius = rng.uniform(50, 75)
        distance, angle = rng.uniform(15, 30), rng.uniform(0, 2 * np.pi)
        spots[patient] = 112 + distance * np.array([np.sin(angle), np.cos(angle)])
        mask = np.hypot(row - 112, column - 112) <= radius
        noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), 1.5)
        grey = 0.35 + 0.15 * mask + 0.04 * noise / noise.std()
        to_spot = np.hypot(row - spots[patient, 0], column - spots[patient, 1])
        grey += label * 0.3 * np.clip(SPOT_RADIUS_PX - to_spot, 0, 4) / 4
        grey = np.clip(grey, 0, 1)
        pixels[patient] = np.stack([grey * mask, grey, mask], axis=-1)
    return pixels, labels, spots
