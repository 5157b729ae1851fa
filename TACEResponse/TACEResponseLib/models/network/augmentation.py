"""The paper's five transformed pictures of a patient, and epochs in which both classes weigh the same.

Peng et al. (Front Oncol 2021;11:730282) flip training patches in both directions, vertically and
horizontally, and turn them by -90 and +90 degrees. With the original that makes six pictures a
patient. They are made while a batch is put together, never stored, and only from patients that
are being fitted, so no picture of a patient can reach the other side of a split. Patches are square
in mm (`patches`), so a quarter turn keeps every distance.
"""

from collections.abc import Callable, Iterator

import numpy as np

#: Name -> the transformed picture, from and to (rows, columns, channels); views, nothing is copied.
VARIANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "original": lambda picture: picture,
    "flipped_in_both_directions": lambda picture: picture[::-1, ::-1],
    "flipped_vertically": lambda picture: picture[::-1],
    "flipped_horizontally": lambda picture: picture[:, ::-1],
    "turned_by_-90_degrees": lambda picture: np.rot90(picture, -1),
    "turned_by_+90_degrees": lambda picture: np.rot90(picture, 1),
}


class BalancedEpochs:
    """Endless batches of augmented pictures; half of an epoch is responders, half is not.

    pixels: (n, size, size, channels). labels: (n,) 0/1 with both classes. An epoch is as many full
    batches as hold six pictures of every patient. A class draws each of its pictures once before
    any of them a second time, so the smaller class repeats its pictures and the larger one leaves
    some for the next epoch. What batch `i` holds depends on `seed` and `i` alone.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, batch_size: int, seed: int):
        self._pixels, self._labels = pixels, np.asarray(labels)
        self.batch_size, self._seed = batch_size, seed
        self._kept = (-1, (np.empty(0, int), np.empty(0, int)))  # epoch and its plan

    @property
    def batches_per_epoch(self) -> int:
        """Batches that hold six pictures of every patient."""
        return -(-len(self._labels) * len(VARIANTS) // self.batch_size)

    def batch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (batch, size, size, channels) and labels (batch,) of the `index`-th batch from 0."""
        epoch, step = divmod(index, self.batches_per_epoch)
        kept = self._kept  # a framework may fetch ahead in another thread, so both are taken and put at once
        if kept[0] != epoch:
            kept = self._kept = (epoch, self.plan(epoch))
        here = slice(step * self.batch_size, (step + 1) * self.batch_size)
        patients, variants = (draws[here] for draws in kept[1])
        transforms = tuple(VARIANTS.values())
        batch = np.empty((self.batch_size, *self._pixels.shape[1:]), dtype=np.float32)
        for picture, patient, variant in zip(batch, patients, variants, strict=True):
            transformed = transforms[variant](self._pixels[patient])
            for channel in range(picture.shape[2]):  # numpy copies turned rows faster than turned triples
                picture[..., channel] = transformed[..., channel]
        return batch, self._labels[patients]

    def plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Which patient and which variant each place of the epoch shows, in shuffled order."""
        rng = np.random.default_rng((self._seed, epoch))
        places = self.batches_per_epoch * self.batch_size
        shares = (places // 2, places - places // 2)
        draws = np.concatenate(
            [
                self._draw(np.flatnonzero(self._labels == label), share, rng)
                for label, share in zip((0, 1), shares, strict=True)
            ]
        )
        rng.shuffle(draws)
        return draws // len(VARIANTS), draws % len(VARIANTS)

    @staticmethod
    def _draw(patients: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
        """`number` pictures, coded patient * 6 + variant, each used before any is used again."""
        pictures = (patients[:, None] * len(VARIANTS) + np.arange(len(VARIANTS))).ravel()
        rounds: Iterator[np.ndarray] = (rng.permutation(pictures) for _ in range(-(-number // len(pictures))))
        return np.concatenate(list(rounds))[:number]
