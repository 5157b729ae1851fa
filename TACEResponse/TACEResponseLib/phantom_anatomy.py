"""The body of the phantom: skin to spine, liver to kidneys, drawn from a small population.

Every organ is a distance function of the position (see `phantom_canvas`), so that any field of
view shows the same person. Sizes in mm, intensities in HU of a late arterial phase: aorta bright,
portal vein mild, hepatic veins still dark, spleen mottled, renal cortex bright.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .phantom_canvas import EDGE_MM, Canvas, Grid, ellipsoid, smooth_union

#: Side in voxels of the block of correlated noise that is repeated over the scan.
TEXTURE_SIDE = 96


@dataclass(frozen=True)
class Body:
    """One person's build: sizes in mm, intensities in HU, and the phases of small waviness."""

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    muscle_mm: float
    organ_scale: float
    liver_hu: float
    spleen_hu: float
    aorta_hu: float
    portal_hu: float
    shift_mm: tuple[float, float, float]
    waves: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Body":
        """A body of the population: adult, cirrhotic liver, late arterial phase."""
        return cls(
            half_width_mm=rng.uniform(150, 168),
            half_depth_mm=rng.uniform(104, 120),
            fat_mm=rng.uniform(9, 20),
            muscle_mm=rng.uniform(11, 15),
            organ_scale=rng.uniform(0.95, 1.06),
            liver_hu=rng.uniform(66, 84),
            spleen_hu=rng.uniform(112, 140),
            aorta_hu=rng.uniform(270, 330),
            portal_hu=rng.uniform(115, 145),
            shift_mm=tuple(rng.uniform(-5, 5, 3)),
            waves=rng.uniform(0, 2 * np.pi, (3, 3)).astype(np.float32),
        )

    @property
    def wall_mm(self) -> float:
        """Thickness of skin, fat and muscle around the abdominal cavity."""
        return self.fat_mm + self.muscle_mm

    def depth(self, x, y):
        """Depth in mm below the skin at (x, y); the outline is the same on every slice."""
        p = 2.35
        rx, ry = np.abs(x) / self.half_width_mm, np.abs(y) / self.half_depth_mm
        norm = np.maximum((rx**p + ry**p) ** (1 / p), 1e-3)
        radius = np.sqrt(x**2 + y**2)
        groove = 7 * np.exp(-((x / 16) ** 2)) / (1 + np.exp(-(y - 60) / 12))
        return (radius / norm - radius - groove).astype(np.float32)

    def noise_hu(self, x, y, level_hu: float):
        """Noise at (x, y): highest in the middle of the body, where most X-rays are absorbed."""
        middle = (x / self.half_width_mm) ** 2 + (y / self.half_depth_mm) ** 2
        return np.float32(level_hu) * (np.float32(0.45) + np.float32(0.65) * np.exp(-middle))

    def wave(self, x, y, z):
        """Smooth unevenness of organ surfaces in mm, about -3 to 3."""
        a, b, c = self.waves
        return (
            np.sin(x / 17 + a[0]) * np.sin(y / 19 + a[1]) * np.sin(z / 21 + a[2])
            + np.sin(x / 31 + b[0]) * np.sin(y / 27 + b[1]) * np.sin(z / 33 + b[2]) * 2
            + np.sin(x / 9 + c[0]) * np.sin(y / 8 + c[1]) * np.sin(z / 11 + c[2]) * np.float32(0.6)
        )

    def dome(self, x, y):
        """Height z in mm of the diaphragm above (x, y): two domes, falling off to the wall."""
        right = 92 - ((x + 62) / 8.2) ** 2 * 0.62 - ((y + 5) / 8.2) ** 2 * 0.85
        left = 74 - ((x - 72) / 8.2) ** 2 * 0.62 - ((y + 5) / 8.2) ** 2 * 0.85
        return np.maximum(right, left) + self.shift_mm[2]

    def cavity(self, x, y, z):
        """Distance to the abdominal cavity: inside the wall and below the diaphragm."""
        return np.maximum(self.wall_mm + 1 - self.depth(x, y), (z - self.dome(x, y) + 2) * np.float32(0.6))

    def liver(self, x, y, z):
        """Distance to the liver: right lobe, left lobe, fissure, cut by the cavity."""
        s = self.organ_scale
        dx, dy, dz = self.shift_mm
        right = ellipsoid((-78 + dx, 2 + dy, dz), (84 * s, 98 * s, 92 * s), 2.3)(x, y, z)
        left = ellipsoid((10 + dx, -52 + dy, 24 + dz), (66 * s, 34 * s, 54 * s))(x, y, z)
        caudate = ellipsoid((-14 + dx, -2 + dy, 22 + dz), (20, 17, 28))(x, y, z)
        both = smooth_union(smooth_union(right, left, 22), caudate, 10) + self.wave(x, y, z)
        fissure = 5 - np.sqrt(((x + 8 - dx) * 1.0) ** 2 + np.maximum(0, y + 52 - dy) ** 2)
        fissure = np.minimum(fissure, 20 - dz - z)
        hilum = -ellipsoid((-22 + dx, 6 + dy, -22 + dz), (26, 17, 26))(x, y, z)
        vessels = 13 - np.sqrt((x + 22) ** 2 + (y - 27) ** 2)
        retro = 17 - np.sqrt((x - 8) ** 2 + (y - 34) ** 2)
        kidney = -ellipsoid((-56, 48, -62), (33, 31, 60))(x, y, z)
        for cut in (fissure, hilum, vessels, retro, kidney):
            both = np.maximum(both, cut)
        return np.maximum(both, self.cavity(x, y, z))


def parenchyma(mean_hu: float, sd_hu: float, rng: np.random.Generator, sigma=(1.2, 2.6, 2.6)):
    """A texture for `Canvas.paint`: mean_hu with smooth mottling of sd_hu, the same in any crop."""
    white = rng.standard_normal((32, TEXTURE_SIDE, TEXTURE_SIDE), dtype=np.float32)
    block = ndimage.gaussian_filter(white, sigma, mode="wrap")
    block = mean_hu + block * np.float32(sd_hu / block.std())

    def on(grid: Grid) -> np.ndarray:
        i, j, k = (grid.indices(n) for n in range(3))
        return block[np.ix_(k % 32, j % TEXTURE_SIDE, i % TEXTURE_SIDE)]

    return on


def paint_body(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Paint everything but the lesions, from the skin inwards."""
    paint_wall(canvas, body)
    paint_lungs(canvas, body, rng)
    paint_spine(canvas, body, rng)
    paint_ribs(canvas, body, rng)
    paint_table(canvas, body)
    paint_left_side(canvas, body, rng)
    paint_bowel(canvas, body, rng)
    paint_liver(canvas, body, rng)
    paint_great_vessels(canvas, body, rng)


def paint_wall(canvas: Canvas, body: Body) -> None:
    """Skin, fat, the muscle layers and the fat of the abdominal cavity, slice by slice."""
    x, y, z = canvas.grid.axes()
    depth = body.depth(x[0], y[0])
    f, w = body.fat_mm, body.wall_mm
    m = body.muscle_mm
    knots = [-0.7, 0.5, 1.8, 2.8, f - 0.6, f + 0.6, f + 0.4 * m, f + 0.47 * m, f + 0.54 * m, w - 0.6, w + 0.6]
    values = [-1000, 35, 30, -104, -104, 52, 56, 15, 54, 54, -98]
    canvas.hu[:] = np.interp(depth, knots, values).astype(np.float32)


def paint_lungs(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Lung bases above and beside the domes of the diaphragm, with vessels, and the heart."""
    pleura = body.wall_mm + 1.5
    mediastinum = ellipsoid((0, 40, 90), (26, 60, 200))

    def lung(x, y, z):
        outside = np.maximum((body.dome(x, y) + 3 - z) * np.float32(0.6), pleura - body.depth(x, y))
        return np.maximum(outside, -mediastinum(x, y, z))

    low, high = (-190, -150, 10), (190, 150, 200)
    canvas.paint(low, high, lung, parenchyma(-840, 22, rng), "lungs")
    heart = (18 + body.shift_mm[0], -38, 132)
    above = lambda x, y, z: (body.dome(x, y) + 3 - z) * np.float32(0.6)  # noqa: E731
    canvas.ball(heart, (68, 48, 62), 60, clip=above)
    canvas.ball(heart, (58, 39, 52), 190, clip=above)


def paint_spine(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Vertebrae and discs in turn, canal with cord, processes, and the muscles beside them."""
    back = body.half_depth_mm
    front = back - 62  # middle of the vertebral body
    phase, far = rng.uniform(0, 33), 400
    for side in (-1, 1):
        canvas.ball((side * 33, back - 31, 0), (31, 23, far), 56, squareness=2.4)
        canvas.ball((side * 29, front + 6, -120), (17, 20, 75), 58)
    marrow = parenchyma(185, 38, rng, (0.6, 0.9, 0.9))
    body_low, body_high = (-32, front - 26, -far), (32, back, far)

    def level(z):
        """1 in a vertebra, 0 in a disc; 33 mm a level."""
        t = np.abs((z - phase) % 33 - 16.5)
        return np.clip((13.0 - t) / 2 + 0.5, 0, 1)

    disc_or_bone = lambda bone: (
        lambda g: (
            92
            + level(g.axes()[2])
            * (  # noqa: E731
                (bone(g) if callable(bone) else bone) - 92
            )
        )
    )
    vertebra = ellipsoid((0, front, 0), (23, 17.5, far * 3), 2.3)
    canvas.paint(body_low, body_high, vertebra, disc_or_bone(430), "spine")
    inner = ellipsoid((0, front, 0), (21, 15.5, far * 3), 2.3)
    canvas.paint(body_low, body_high, inner, disc_or_bone(marrow), "spine", 2.5)

    def arch(x, y, z):
        ring = np.abs(np.sqrt((x / 1.15) ** 2 + (y - front - 25) ** 2) - 13) - 3.6
        spinous = np.maximum(np.abs(x) - 3.2, np.abs(y - front - 45) - 12)
        spinous = spinous + 2.5 * np.abs((z - phase + 8) % 33 - 16.5) / 8
        transverse = np.maximum(np.abs(y - front - 22 - 0.25 * np.abs(x)) - 3.4, np.abs(x) - 36)
        transverse = transverse + np.maximum(0, np.abs((z - phase) % 33 - 16.5) - 5) / 2
        gap = np.maximum(0, np.abs((z - phase) % 33 - 16.5) - 11)
        return np.minimum(np.minimum(ring + gap, spinous), transverse)

    canvas.paint((-40, front, -far), (40, back + 5, far), arch, parenchyma(340, 45, rng), "spine", 2.2)
    canvas.ball((0, front + 25, 0), (9.5, 8.5, far * 3), 12)
    canvas.ball((0, front + 25, 0), (5.5, 4.5, far * 3), 42)


def paint_ribs(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Slanting ribs in the inner wall: cortex and marrow, calcified less towards the front."""
    x, y, z = canvas.grid.axes()
    depth = body.depth(x[0], y[0]) - (body.wall_mm - 4.5)
    angle = np.arctan2(np.abs(x[0]), y[0])  # 0 at the back, pi in front
    phase = rng.uniform(0, 29)
    shell = (np.abs(depth) < 6) & (angle > 0.33) & (angle < 2.72)
    j, i = np.nonzero(shell)
    slant = 62 * angle[j, i]
    t = (z[:, :, 0] + slant + phase) % 29 - 14.5
    distance = (np.sqrt((depth[j, i] / 4.0) ** 2 + (t / 6.5) ** 2) - 1) * 4.6
    costal_margin = np.float32(-150) + 95 * np.maximum(0, angle[j, i] - 1.35)
    distance = np.maximum(distance, (costal_margin - z[:, :, 0]) * np.float32(0.5))
    bone = np.where(angle[j, i] > 2.35, 115, 560).astype(np.float32)
    marrow = np.where(angle[j, i] > 2.35, 105, 170).astype(np.float32)
    hu = canvas.hu[:, j, i]
    for hu_bone, inset in ((bone, 0.0), (marrow, 2.0)):
        hu += np.clip(0.5 - (distance + inset) / EDGE_MM, 0, 1) * (hu_bone - hu)
    canvas.hu[:, j, i] = hu


def paint_table(canvas: Canvas, body: Body) -> None:
    """The curved table top below the patient."""
    x, y, z = canvas.grid.axes()
    top = body.half_depth_mm + 6 - (x[0] / 55) ** 2
    for offset, thickness, hu in ((0, 1.6, -350), (14, 1.2, -500)):
        cover = np.clip(thickness - np.abs(y[0] - top - offset) + 0.5, 0, 1) * (np.abs(x[0]) < 195)
        canvas.hu += cover * np.maximum(0, hu - canvas.hu)


def paint_left_side(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Spleen, stomach with fluid level, kidneys with cortex and medulla, gallbladder."""
    s = body.organ_scale
    dx, dy, dz = body.shift_mm
    spleen_shape = ellipsoid((104 + dx, 34 + dy, 26 + dz), (42 * s, 52 * s, 58 * s), 2.2)
    hollow = ellipsoid((70 + dx, 8 + dy, 22 + dz), (40, 46, 70))

    def spleen(x, y, z):
        cut = np.maximum(spleen_shape(x, y, z) + body.wave(x, y, z), -hollow(x, y, z))
        return np.maximum(cut, body.cavity(x, y, z))

    box = ((55, -40, -45), (160, 105, 100))
    canvas.paint(*box, spleen, parenchyma(body.spleen_hu, 9, rng, (1.2, 3.5, 3.5)), "spleen")
    middle = np.array((62 + dx, -38 + dy, 36 + dz))
    inside = lambda x, y, z: body.cavity(x, y, z) + 2  # noqa: E731
    canvas.ball(middle, (44, 35, 46), parenchyma(74, 7, rng), "stomach", 2.2, inside)
    inside = lambda x, y, z: body.cavity(x, y, z) + 6  # noqa: E731
    canvas.ball(middle, (39, 30, 41), parenchyma(18, 14, rng), "stomach", 2.2, inside)
    level_mm = middle[1] + rng.uniform(-14, 4)
    gas = lambda x, y, z: np.maximum(inside(x, y, z), y - level_mm)  # noqa: E731
    canvas.ball(middle, (39, 30, 41), -960, "stomach", 2.2, gas)
    for side, low in ((-1, -68), (1, -58)):
        paint_kidney(canvas, (side * 58 + dx, body.half_depth_mm - 66, low + dz), side, rng)
    canvas.ball((-38 + dx, -42 + dy, -58 + dz), (15, 21, 24), 62, clip=body.cavity)
    canvas.ball((-38 + dx, -42 + dy, -58 + dz), (13.5, 19.5, 22.5), 10, "gallbladder", clip=body.cavity)


def paint_kidney(canvas: Canvas, centre, side: int, rng: np.random.Generator) -> None:
    """A kidney: bright cortex, darker pyramids, fat of the sinus open to the middle."""
    cx, cy, cz = centre
    canvas.ball(centre, (25, 27, 54), parenchyma(185, 12, rng), "kidneys")
    for z in np.arange(cz - 36, cz + 37, 12):
        for angle in np.arange(0, 2 * np.pi, np.pi / 3.5) + rng.uniform(0, 1):
            reach = 0.6 * np.sqrt(max(0, 1 - ((z - cz) / 54) ** 2))
            pyramid = (cx + 25 * reach * np.cos(angle), cy + 27 * reach * np.sin(angle), z)
            canvas.ball(pyramid, (5, 5, 6), 88)
    canvas.ball((cx - side * 7, cy - 3, cz), (15, 8, 28), -80)
    canvas.tube((cx - side * 8, cy - 3, cz + 2), (-side * -14, cy - 14, cz + 8), 3.6, 150)


def paint_bowel(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Loops of bowel in the lower slices, some with gas, and the pancreas."""
    dx, dy, dz = body.shift_mm
    for _ in range(26):
        centre = np.array((rng.uniform(-70, 105), rng.uniform(-75, 10), rng.uniform(-165, -62)))
        radii = rng.uniform(11, 19, 3) * (1, 1, 1.4)
        filling = rng.choice([25.0, 35.0, -900.0, 60.0])
        canvas.ball(centre, radii, 68, clip=body.cavity)
        canvas.ball(centre, radii - 2.6, filling, clip=lambda x, y, z: body.cavity(x, y, z) + 3)
    tissue = parenchyma(98, 16, rng, (0.8, 1.6, 1.6))
    path = np.array([(-8, 8, -44), (4, -2, -32), (26, -6, -26), (50, 4, -18), (74, 18, -8)], float)
    for start, end, radius in zip(path[:-1], path[1:], (12, 9, 8.5, 8), strict=True):
        canvas.tube(start + (dx, dy, dz), end + (dx, dy, dz), radius, tissue)


def paint_liver(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """The liver with its texture, portal branches (mild) and hepatic veins (still dark)."""
    low, high = (-175, -125, -110), (95, 110, 105)
    canvas.paint(low, high, body.liver, parenchyma(body.liver_hu, 4.5, rng), "liver")
    dx, dy, dz = body.shift_mm
    hilum = np.array((-30 + dx, 4 + dy, -4 + dz))
    veins = np.array((-20 + dx, 20 + dy, 72 + dz))
    for target in ((-95, -28, 14), (-92, 38, 10), (-80, 30, -40), (-80, -40, -30), (6, -52, 22)):
        grow_vessels(canvas, body, rng, hilum, np.array(target) + body.shift_mm, 4.6, body.portal_hu)
    for target in ((-105, 10, 40), (-50, -55, 36), (20, -45, 46)):
        grow_vessels(canvas, body, rng, veins, np.array(target) + body.shift_mm, 4.2, body.liver_hu - 14)
    for target in ((-90, -20, 20), (-85, 40, 0), (-5, -50, 25)):
        grow_vessels(canvas, body, rng, hilum, np.array(target) + body.shift_mm, 1.3, 190)


def grow_vessels(canvas, body, rng, start, end, radius_mm: float, hu: float, generations: int = 4) -> None:
    """A vessel from start to end with side branches, kept inside the liver."""
    path = [start, start + 0.5 * (end - start) + rng.normal(0, 5, 3), end]
    for a, b in zip(path[:-1], path[1:], strict=True):
        if body.liver(*np.float32(b)) > -3:
            return
        canvas.tube(a, b, radius_mm, hu, end_radius_mm=0.8 * radius_mm)
        radius_mm *= 0.78
    if generations == 0 or radius_mm < 0.7:
        return
    length = np.linalg.norm(end - start) * 0.72
    ahead = (end - start) / np.linalg.norm(end - start)
    for _ in range(2):
        turn = ahead + rng.normal(0, 0.55, 3)
        turn /= np.linalg.norm(turn)
        grow_vessels(canvas, body, rng, end, end + turn * length, radius_mm, hu, generations - 1)


def paint_great_vessels(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Aorta with branches, inferior vena cava, portal and splenic vein, crura of the diaphragm."""
    dx, dy, dz = body.shift_mm
    spine_front = body.half_depth_mm - 62 - 17.5
    aorta = np.array((9.0, spine_front - 12.5, 0))
    for side, shift in ((-1, -8), (1, 22)):
        crus = (9 + side * 14, spine_front - 8, 20)
        canvas.ball(crus, (5, 13, 95), 58)
    radius = rng.uniform(9.5, 12)
    canvas.tube(aorta - (0, 0, 400), aorta + (0, 0, 400), radius + 1.2, 60)
    canvas.tube(aorta - (0, 0, 400), aorta + (0, 0, 400), radius, body.aorta_hu, "aorta")
    for z, length in ((4 + dz, 30), (-18 + dz, 26)):  # coeliac trunk and superior mesenteric artery
        top = aorta + (0, -10, z)
        canvas.tube(top, top + (2, -14, -3), 3.4, body.aorta_hu - 15)
        if length == 26:
            canvas.tube(top + (2, -14, -3), top + (2, -20, -160), 3.2, body.aorta_hu - 15)
        else:
            canvas.tube(top + (2, -14, -3), top + (-30, -20, 0), 2.4, body.aorta_hu - 25)
            canvas.tube(top + (2, -14, -3), top + (60, 6, 8), 2.4, body.aorta_hu - 25)
    cava = ellipsoid((-21, spine_front - 8, 0), (12.5, 9, 1200))
    cava_hu = parenchyma(102, 10, rng, (3, 3, 3))
    canvas.paint((-40, 0, -400), (0, 80, 100), cava, cava_hu, "inferior vena cava")
    confluence = np.array((4 + dx, 2 + dy, -30 + dz))
    hilum = np.array((-30 + dx, 4 + dy, -4 + dz))
    canvas.tube(confluence, hilum, 6.2, body.portal_hu, "portal vein")
    canvas.tube(hilum, hilum + (-28, -4, 8), 5.6, body.portal_hu, "portal vein")
    canvas.tube(hilum, hilum + (20, -36, 18), 4.8, body.portal_hu, "portal vein")
    canvas.tube(confluence, confluence + (42, 6, 16), 4.2, body.portal_hu)
    canvas.tube(confluence + (42, 6, 16), (88 + dx, 22 + dy, 10 + dz), 4.2, body.portal_hu)
    canvas.tube(confluence, confluence + (-2, -2, -130), 4.8, body.portal_hu - 15)
