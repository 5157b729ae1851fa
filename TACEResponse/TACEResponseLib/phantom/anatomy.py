"""The frame of the phantom: a person's build, wall, lungs, spine, ribs, and the table below.

Every organ is a distance function of the position (see `canvas`), so that any field of
view shows the same person. Sizes in mm, intensities in HU of a late arterial phase.
"""

from dataclasses import dataclass

import numpy as np

from .canvas import EDGE_MM, Canvas, common, ellipsoid, outside, point, smooth_union, texture

#: Distance in mm between vertebrae, and between ribs.
VERTEBRA_STEP_MM, RIB_STEP_MM = 33.0, 29.0
#: Half length of the spine and of everything that runs through the whole scan.
FAR_MM = 400.0


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
    shift_mm: np.ndarray
    waves: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Body":
        """A body of the population: adult, cirrhotic liver, late arterial phase."""
        half_width_mm = rng.uniform(148, 166)
        return cls(
            half_width_mm=half_width_mm,
            half_depth_mm=half_width_mm * rng.uniform(0.74, 0.81),
            fat_mm=rng.uniform(8, 19),
            muscle_mm=rng.uniform(11, 15),
            organ_scale=rng.uniform(0.95, 1.06),
            liver_hu=rng.uniform(66, 84),
            spleen_hu=rng.uniform(112, 140),
            aorta_hu=rng.uniform(270, 330),
            portal_hu=rng.uniform(115, 145),
            shift_mm=rng.uniform(-5, 5, 3),
            waves=rng.uniform(0, 2 * np.pi, (3, 3)).astype(np.float32),
        )

    @property
    def wall_mm(self) -> float:
        """Thickness of skin, fat and muscle around the abdominal cavity."""
        return self.fat_mm + self.muscle_mm

    @property
    def vertebra_y_mm(self) -> float:
        """Position of the middle of the vertebral bodies, towards the back."""
        return self.half_depth_mm - 62

    def depth(self, x, y):
        """Depth in mm below the skin at (x, y); the outline is the same on every slice."""
        p = 2.5 + 0.45 * np.tanh(y / 60)  # the back is flatter than the belly
        rx, ry = np.abs(x) / self.half_width_mm, np.abs(y) / self.half_depth_mm
        norm = np.maximum((rx**p + ry**p) ** (1 / p), 1e-3)
        radius = np.sqrt(x**2 + y**2)
        angle = np.arctan2(y, x)
        groove = 8 * np.exp(-((x / 17) ** 2)) / (1 + np.exp(-(y - 60) / 12))
        uneven = 2.2 * np.sin(3 * angle + self.waves[0, 0]) + 1.5 * np.sin(5 * angle + self.waves[0, 1])
        fade = np.minimum(1, radius / 60)
        return (radius / norm - radius - groove + fade * uneven).astype(np.float32)

    def wave(self, x, y, z):
        """Smooth unevenness of organ surfaces in mm, about -3 to 3."""
        a, b, c = self.waves
        return (
            np.sin(x / 17 + a[0]) * np.sin(y / 19 + a[1]) * np.sin(z / 21 + a[2])
            + np.sin(x / 31 + b[0]) * np.sin(y / 27 + b[1]) * np.sin(z / 33 + b[2]) * 2
            + np.sin(x / 8 + c[0]) * np.sin(y / 7 + c[1]) * np.sin(z / 9 + c[2]) * np.float32(0.9)
        )

    def dome(self, x, y):
        """Height z in mm of the diaphragm above (x, y): two domes, falling off to the wall."""
        right = 92 - ((x + 62) / 8.2) ** 2 * 0.62 - ((y + 5) / 8.2) ** 2 * 0.85
        left = 76 - ((x - 72) / 8.2) ** 2 * 0.62 - ((y + 5) / 8.2) ** 2 * 0.85
        return np.maximum(right, left) + np.float32(self.shift_mm[2])

    def thorax(self, x, y, z):
        """Distance to the space above the diaphragm."""
        return (self.dome(x, y) + 3 - z) * np.float32(0.6)

    def cavity(self, x, y, z):
        """Distance to the abdominal cavity: inside the wall and below the diaphragm."""
        below = (z - self.dome(x, y) + 2) * np.float32(0.6)
        return np.maximum(self.wall_mm + np.float32(0.6) - self.depth(x, y), below)

    def liver(self, x, y, z):
        """Distance to the liver: two lobes and caudate, fissure and porta, cut by the cavity."""
        s, at = self.organ_scale, self.shift_mm
        right = ellipsoid(at + point(-80, 2, 0), (82 * s, 98 * s, 92 * s), 2.3)(x, y, z)
        left = ellipsoid(at + point(4, -54, 26), (74 * s, 36 * s, 52 * s), 2.2)(x, y, z)
        caudate = ellipsoid(at + point(-16, 0, 22), (22, 17, 30))(x, y, z)
        whole = smooth_union(smooth_union(right, left, 30), caudate, 12) + self.wave(x, y, z)
        fx, fy, _ = np.float32(at)
        slant = x + 6 - fx - (y + 60 - fy) * np.float32(0.35)
        fissure = (74 + fy + y) * np.float32(-0.1) + 2.6 - np.abs(slant)
        whole = np.maximum(whole, np.minimum(fissure, 24 - z))
        porta = ellipsoid(at + point(-22, 3, -20), (17, 8, 20))(x, y, z)
        behind = ellipsoid((10, self.vertebra_y_mm - 28, 0), (21, 22, FAR_MM * 3))(x, y, z)
        spine = ellipsoid((0, self.vertebra_y_mm, 0), (30, 25, FAR_MM * 3))(x, y, z)
        kidney = ellipsoid(at + point(-60, self.half_depth_mm - 66, -66), (28.5, 30, 55))(x, y, z)
        gallbladder = ellipsoid(at + point(-36, -40, -56), (14.5, 19.5, 23.5))(x, y, z)
        ripple = np.float32(0.8) * self.wave(x + 9, y - 7, z + 5)
        for hollow in (porta, behind, spine, kidney, gallbladder):
            whole = np.maximum(whole, ripple - hollow)
        return np.maximum(whole, self.cavity(x, y, z) - np.float32(0.5) + np.float32(0.4) * ripple)

    def noise_hu(self, x, y, level_hu: float):
        """Noise at (x, y): highest in the middle of the body, where most X-rays are absorbed."""
        middle = (x / self.half_width_mm) ** 2 + (y / self.half_depth_mm) ** 2
        return np.float32(level_hu) * (np.float32(0.45) + np.float32(0.65) * np.exp(-middle))


def paint_frame(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Paint everything around the abdominal organs, from the skin inwards."""
    paint_wall(canvas, body, rng)
    paint_table(canvas, body)
    paint_lungs(canvas, body, rng)
    paint_muscles(canvas, body, rng)
    paint_spine(canvas, body, rng)
    paint_ribs(canvas, body, rng)


def paint_wall(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Skin, fat with septa, muscle layers with fat between, and the fat of the cavity."""
    x, y, _ = canvas.grid.axes()
    depth = body.depth(x[0], y[0])
    f, m, w = body.fat_mm, body.muscle_mm, body.wall_mm
    knots = [-0.7, 0.5, 1.8, 2.8, f - 0.6, f + 0.6, f + 0.3 * m, f + 0.38 * m, f + 0.46 * m, w - 0.6, w + 0.6]
    values = [-1000, 35, 30, -104, -104, 50, 52, 8, 54, 54, -100]
    wall = np.interp(depth, knots, values).astype(np.float32)
    midline = np.exp(-((x[0] / 4) ** 2)) * (y[0] < 0) * ((depth > f) & (depth < w))
    wall -= midline * 90  # linea alba
    soft = np.where((depth > 2) & (wall > -900), 1, 0).astype(np.float32)
    canvas.hu[:] = wall + soft * texture(0, 6, rng, (0.8, 1.6, 1.6))(canvas.grid)


def paint_table(canvas: Canvas, body: Body) -> None:
    """The curved table top below the patient."""
    x, y, _ = canvas.grid.axes()
    top = body.half_depth_mm + 7 - (x[0] / 55) ** 2
    for offset, thickness, hu in ((0, 1.0, -250), (15, 0.8, -400)):
        cover = np.clip(thickness - np.abs(y[0] - top - offset) + 0.5, 0, 1) * (np.abs(x[0]) < 195)
        canvas.hu += (cover * np.maximum(0, hu - canvas.hu[0])).astype(np.float32)


def paint_lungs(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Lung bases above and beside the domes of the diaphragm, their vessels, and the heart."""
    mediastinum = ellipsoid((0, 40, 90), (26, 60, 200))

    def chest_wall(x, y, z):
        return body.wall_mm + 1 - body.depth(x, y)

    lung = common(body.thorax, chest_wall, outside(mediastinum))
    canvas.paint((-190, -150, 0), (190, 150, 200), lung, texture(-845, 22, rng), "lungs")
    for _ in range(70):
        side = rng.choice((-1, 1))
        start = point(side * rng.uniform(35, 110), rng.uniform(-55, 60), rng.uniform(30, 125))
        end = start + rng.normal(0, 9, 3) * (1, 1, 1.4)
        if max(float(lung(*np.float32(p))) for p in (start, end)) < -3:
            canvas.tube(start, end, rng.uniform(0.7, 2.0), 20, end_radius_mm=0.6)
    heart = point(18 + body.shift_mm[0], -38, 132)
    canvas.ball(heart, (68, 48, 62), 75, within=body.thorax)
    canvas.ball(heart + point(-16, 2, 0), (38, 34, 50), 150, within=body.thorax)
    canvas.ball(heart + point(26, 6, 0), (30, 27, 48), 265, within=body.thorax)


def paint_muscles(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Muscles beside the spine and psoas, with fat between the bundles."""
    muscle, y = texture(55, 9, rng, (1.5, 1.1, 2.0)), body.vertebra_y_mm
    for side in (-1, 1):
        canvas.ball((side * 29, y + 33, 0), (25, 20, FAR_MM), muscle, squareness=2.3)
        canvas.ball((side * 53, y + 33, 0), (19, 15, FAR_MM), muscle, squareness=2.3)
        canvas.ball((side * 58, y + 17, -150), (13, 9, 90), muscle)
        canvas.ball((side * 31, y + 5, -150), (16, 20, 105), muscle)


def paint_spine(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Vertebral bodies and discs in turn, arches with their processes, canal and cord."""
    y0 = body.vertebra_y_mm
    phase = rng.uniform(0, VERTEBRA_STEP_MM)

    def from_middle(z, offset=0.0):
        """Distance in mm from the middle of the nearest vertebra."""
        return np.abs((z - phase + offset) % VERTEBRA_STEP_MM - VERTEBRA_STEP_MM / 2)

    def level(bone):
        """Intensity of bone in a vertebra and of cartilage in a disc."""

        def on(grid):
            is_bone = np.clip((13.0 - from_middle(grid.axes()[2])) / 2.5 + 0.5, 0, 1)
            return 90 + is_bone * ((bone(grid) if callable(bone) else bone) - 90)

        return on

    def arch(x, y, z):
        side, back = np.abs(x), y - y0
        pedicle = segment(side, back, (12, 8), (14, 21)) - 4 + np.maximum(0, from_middle(z, -4) - 5)
        lamina = segment(side, back, (14, 23), (2, 37)) - 3 + np.maximum(0, from_middle(z, 4) - 10)
        transverse = segment(side, back, (14, 22), (36, 30)) - 3.2 + np.maximum(0, from_middle(z) - 4)
        spinous = segment(side, back, (0, 38), (0, 53)) - 2.6 + np.maximum(0, from_middle(z, 8) - 9)
        facet = segment(side, back, (15, 21), (12, 27)) - 5 + np.maximum(0, from_middle(z, 16) - 7)
        return np.minimum.reduce([pedicle, lamina, transverse, spinous, facet])

    bone_box = ((-45, y0 - 26, -FAR_MM), (45, y0 + 60, FAR_MM))
    canvas.paint(*bone_box, ellipsoid((0, y0, 0), (23, 17.5, FAR_MM * 3), 2.2), level(400), "spine")
    marrow = level(texture(175, 26, rng, (0.8, 0.8, 0.8)))
    canvas.paint(*bone_box, ellipsoid((0, y0, 0), (21.2, 15.7, FAR_MM * 3), 2.2), marrow, "spine", 2.0)
    canvas.ball((0, y0 + 23, 0), (11, 10, FAR_MM * 3), -40)
    canvas.paint(*bone_box, arch, texture(370, 60, rng, (0.8, 0.9, 0.9)), "spine", 2.0)
    canvas.ball((0, y0 + 24, 0), (8.5, 7.5, FAR_MM * 3), 10)
    canvas.ball((0, y0 + 24, 0), (5, 4, FAR_MM * 3), 42)


def segment(px, py, start, end):
    """Distance in the plane from points (px, py) to the line from start to end."""
    (ax, ay), (bx, by) = start, end
    dx, dy = bx - ax, by - ay
    t = np.clip(((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.sqrt((px - ax - t * dx) ** 2 + (py - ay - t * dy) ** 2)


def paint_ribs(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Slanting ribs in the inner wall: cortex and marrow, cartilage towards the front."""
    x, y, z = canvas.grid.axes()
    depth = body.depth(x[0], y[0]) - (body.wall_mm - 4.5)
    angle = np.arctan2(np.abs(x[0]), y[0])  # 0 at the back, pi in front
    phase = rng.uniform(0, RIB_STEP_MM)
    j, i = np.nonzero((np.abs(depth) < 6) & (angle > 0.5) & (angle < 2.72))
    angle, depth, z = angle[j, i], depth[j, i], z[:, :, 0]
    along = (z + 62 * angle + phase) % RIB_STEP_MM - RIB_STEP_MM / 2
    distance = (np.sqrt((depth / 4.0) ** 2 + (along / 6.5) ** 2) - 1) * 4.6
    costal_margin = -150 + 95 * np.maximum(0, angle - 1.35)
    distance = np.maximum(distance, (costal_margin - z) * 0.5).astype(np.float32)
    is_cartilage = angle > 2.35
    hu = canvas.hu[:, j, i]
    for bone_hu, cartilage_hu, inset_mm in ((560, 115, 0.0), (190, 105, 1.6)):
        cover = np.clip(0.5 - (distance + inset_mm) / EDGE_MM, 0, 1)
        hu += cover * (np.where(is_cartilage, cartilage_hu, bone_hu).astype(np.float32) - hu)
    canvas.hu[:, j, i] = hu
