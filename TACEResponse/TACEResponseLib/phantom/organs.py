"""The abdominal organs and vessels of the phantom, in a late arterial phase.

Aorta bright, portal vein mild, hepatic veins still dark, spleen mottled, renal cortex bright:
what a radiologist checks first to know the phase. Positions in mm as in `anatomy`.
"""

from itertools import pairwise

import numpy as np

from .anatomy import FAR_MM, Body, segment
from .canvas import CAVA, PORTAL_VEIN, Canvas, common, ellipsoid, inset, point, smooth_union, texture


def paint_organs(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Paint the organs, later ones over earlier ones."""
    paint_bowel(canvas, body, rng)
    paint_spleen_and_stomach(canvas, body, rng)
    for side, low in ((-1, -68), (1, -58)):
        middle = body.shift_mm + point(side * 60, body.half_depth_mm - 66, low)
        paint_kidney(canvas, body, middle, side, rng)
    paint_great_vessels(canvas, body, rng)
    paint_pancreas(canvas, body, rng)
    paint_liver(canvas, body, rng)
    paint_portal_vein(canvas, body)


def paint_bowel(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Mesenteric vessels, loops of small bowel, and colon with gas and stool."""
    for _ in range(70):
        start = point(rng.uniform(-75, 100), rng.uniform(-75, 25), rng.uniform(-170, -30))
        end = start + rng.normal(0, 14, 3)
        if body.cavity(*np.float32(start)) < -6 and body.cavity(*np.float32(end)) < -6:
            canvas.tube(start, end, rng.uniform(0.8, 1.9), rng.choice((95, 190)))
    wall, fluid = texture(85, 10, rng), texture(25, 12, rng)
    inner = inset(body.cavity, 3)
    for n in range(70):
        middle = point(rng.uniform(-78, 100), rng.uniform(-88, 12), rng.uniform(-170, -52))
        if n % 3 == 0:  # jejunum reaches up on the left
            middle = point(rng.uniform(25, 95), rng.uniform(-70, 5), rng.uniform(-60, -8))
        radii = rng.uniform(9, 16, 3) * (1.25, 0.9, 1.5)
        canvas.ball(middle, radii, wall, within=body.cavity)
        canvas.ball(middle, radii - 2.4, fluid, within=inner)
    stool = texture(-120, 190, rng, (0.9, 1.6, 1.6))
    loops = [
        (side * rng.uniform(88, 96), rng.uniform(0, 14), z) for side in (-1, 1) for z in range(-160, -60, 22)
    ]
    loops += [(x, -74 + abs(x) / 9, -66 + rng.uniform(-8, 8)) for x in range(-60, 100, 26)]
    loops += [(96, -28, -40), (100, -30, -14), (92, -40, 8)]  # splenic flexure
    for loop in loops:
        middle, radii = np.array(loop, float), rng.uniform(17, 22, 3)
        canvas.ball(middle, radii, 62, within=body.cavity)
        filling = rng.choice((0, 1), p=(0.55, 0.45))
        canvas.ball(middle, radii - 2.2, (stool, -950)[filling], within=inner)


def paint_spleen_and_stomach(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Spleen with the mottling of the arterial phase; stomach with folds and a fluid level."""
    s, at = body.organ_scale, body.shift_mm
    full = ellipsoid(at + point(94, 38, 22), (54 * s, 54 * s, 60 * s), 2.2)
    hilum = ellipsoid(at + point(54, 4, 8), (34, 42, 74))

    def spleen(x, y, z):
        solid = np.maximum(full(x, y, z), -hilum(x, y, z)) + body.wave(x, y, z)
        return np.maximum(solid, body.cavity(x, y, z) + np.float32(0.5))

    stripes = texture(body.spleen_hu, 10, rng, (1.5, 3.0, 3.0))
    canvas.paint((35, -40, -50), (165, 110, 100), spleen, stripes, "spleen")
    body_of_it = ellipsoid(at + point(62, -36, 30), (46, 38, 46), 2.2)
    fundus = ellipsoid(at + point(58, 4, 52), (36, 40, 34))

    def bag(x, y, z):
        return smooth_union(body_of_it(x, y, z), fundus(x, y, z), 14)

    def lumen(x, y, z):
        folds = 1.6 * np.sin(x / 3.1 + z / 9) * np.sin(y / 3.3) + body.wave(x, y, z)
        return np.maximum(bag(x, y, z) + folds.astype(np.float32), body.cavity(x, y, z)) + np.float32(6)

    wall = common(bag, body.cavity)
    box = (at + point(10, -80, -22), at + point(115, 60, 95))
    canvas.paint(*box, wall, texture(78, 9, rng), "stomach")
    canvas.paint(*box, lumen, texture(20, 16, rng, (1.5, 3, 3)), "stomach")
    level_mm = np.float32(at[1] - 36 + rng.uniform(-16, 2))
    canvas.paint(*box, common(lumen, lambda x, y, z: y - level_mm), -960, "stomach")


def paint_kidney(canvas: Canvas, body: Body, middle, side: int, rng: np.random.Generator) -> None:
    """A kidney: bright cortex, darker pyramids, fat of the sinus open to the middle, renal vein."""
    cx, cy, cz = np.float32(middle)
    radii = np.array((24, 26, 52))
    turn, lobes = rng.uniform(0, 6.3), 7

    def medulla(x, y, z):
        around = np.arctan2(y - cy, x - cx)
        columns = np.sin(lobes * around + turn + z / 11) * 0.5 + 0.5 * np.sin((z - cz) / 4.2)
        fade = np.sqrt(np.maximum(0, 1 - ((z - cz) / 43) ** 2))
        return inner(x, y, z) + fade * 4.5 * np.maximum(0, columns.astype(np.float32))

    outer = ellipsoid(middle, radii, 2.1)
    inner = ellipsoid(middle, radii - (6.5, 7, 9))
    box = (middle - radii - 2, middle + radii + 2)

    def kidney(x, y, z):
        return outer(x, y, z) + np.float32(0.5) * body.wave(x, y, z)

    canvas.paint(*box, kidney, texture(180, 10, rng), "kidneys")
    canvas.paint(*box, medulla, texture(105, 10, rng), "kidneys", 2.5)
    canvas.ball(middle + point(-side * 9, -3, 0), (14, 8, 24), texture(-70, 18, rng))
    canvas.ball(middle + point(-side * 4, -2, 0), (7, 4, 14), 40)
    canvas.tube(middle + point(-side * 6, -4, 2), point(side * 12 - 6, cy - 20, cz + 10), 3.4, 125)


def paint_pancreas(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Pancreas from head to tail, lobulated with fat."""
    tissue = texture(96, 22, rng, (0.8, 1.4, 1.4))
    path = body.shift_mm + np.array([(-4, 8, -46), (4, -4, -32), (24, -8, -26), (48, 2, -18), (72, 14, -8)])
    for (start, end), radius_mm in zip(pairwise(path), (11, 9, 8, 7.5), strict=True):
        canvas.tube(start, end, radius_mm, tissue)
        for _ in range(7):
            knob = start + rng.uniform(0, 1) * (end - start) + rng.normal(0, 4.5, 3)
            canvas.ball(knob, rng.uniform(4, 8, 3), tissue)


def paint_liver(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Gallbladder, liver with its texture, portal branches (mild), hepatic veins (still dark)."""
    at = body.shift_mm
    canvas.ball(at + point(-36, -40, -56), (15.5, 20.5, 24.5), 72, within=body.cavity)
    canvas.ball(at + point(-36, -40, -56), (13, 18, 22), 9, "gallbladder", within=body.cavity)
    tissue, perfusion = texture(body.liver_hu, 4, rng), texture(0, 3, rng, (4, 12, 12))
    box = ((-175, -130, -110), (95, 115, 105))
    canvas.paint(*box, body.liver, lambda grid: tissue(grid) + perfusion(grid), "liver")
    right, left, veins = at + point(-58, 0, 4), at + point(-10, -32, 14), at + point(-22, 16, 74)
    grow = VesselGrower(canvas, body, rng)
    for target in _RIGHT_SEGMENTS:
        grow.tree(right, at + target, 3.6, body.portal_hu - 8)
        grow.tree(right, at + target, 1.2, 200)
    for target in _LEFT_SEGMENTS:
        grow.tree(left, at + target, 3.0, body.portal_hu - 8)
        grow.tree(left, at + target, 1.1, 200)
    for target in _HEPATIC_VEINS:
        grow.tree(veins, at + target, 4.2, body.liver_hu - 13)


#: Where the vessels of the liver run to, from the portal bifurcation and from the vena cava.
_RIGHT_SEGMENTS = np.array(
    [
        (-92, -30, 16),
        (-94, 32, 14),
        (-84, 26, -34),
        (-84, -34, -28),
        (-72, -44, 40),
        (-76, 40, 44),
        (-110, 0, 0),
    ]
)
_LEFT_SEGMENTS = np.array([(18, -56, 28), (-26, -58, 22), (0, -62, 4)])
_HEPATIC_VEINS = np.array([(-100, 10, 36), (-80, -28, 38), (-48, -50, 38), (14, -48, 48), (-86, 44, 28)])


class VesselGrower:
    """Grows branching vessels inside the liver."""

    #: Corners in mm and step of the map of the liver that vessels find their way with.
    _LOW, _HIGH, _STEP_MM = point(-175, -130, -110), point(95, 115, 105), 5.0

    def __init__(self, canvas: Canvas, body: Body, rng: np.random.Generator):
        self._canvas, self._rng = canvas, rng
        x, y, z = (
            np.arange(a, b, self._STEP_MM, np.float32) for a, b in zip(self._LOW, self._HIGH, strict=True)
        )
        self._inside = body.liver(x[:, None, None], y[None, :, None], z[None, None, :]) < -2

    def _is_inside(self, position) -> bool:
        at = np.rint((position - self._LOW) / self._STEP_MM).astype(int)
        return bool((at >= 0).all() and (at < self._inside.shape).all() and self._inside[tuple(at)])

    def tree(self, start, end, radius_mm: float, hu: float, generations: int = 3) -> None:
        """A vessel from start to end and its branches; each ends where it would leave the liver."""
        span = end - start
        length_mm = float(np.linalg.norm(span))
        bend = start + 0.5 * span + self._rng.normal(0, 0.08 * length_mm, 3)
        for a, b in pairwise((start, bend, end)):
            if not self._is_inside(b):
                return
            self._canvas.tube(a, b, radius_mm, hu, end_radius_mm=0.9 * radius_mm)
            if generations and radius_mm > 0.6:
                self._branch(b, span, length_mm, radius_mm, hu, generations - 1)
            radius_mm *= 0.9

    def _branch(self, start, span, length_mm: float, radius_mm: float, hu: float, generations: int) -> None:
        for _ in range(2):
            turn = span / length_mm + self._rng.normal(0, 0.6, 3)
            branch = turn / np.linalg.norm(turn) * length_mm * self._rng.uniform(0.45, 0.75)
            self.tree(start, start + branch, 0.68 * radius_mm, hu, generations)


def paint_great_vessels(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Aorta with plaques and branches, inferior vena cava, crura of the diaphragm, adrenals."""
    front, at = body.vertebra_y_mm - 17.5, body.shift_mm
    aorta, radius_mm = point(9, front - 12.5, 0), rng.uniform(9.5, 12)

    def crura(x, y, z):
        right = segment(x, y, (-4, front - 26), (-11, front + 3))
        left = segment(x, y, (22, front - 22), (24, front + 4))
        return np.minimum(right, left) - np.float32(2.3) - (z / np.float32(90))

    canvas.paint((-30, front - 40, -70), (45, front + 20, 110), crura, texture(57, 5, rng))
    whole = (aorta - point(0, 0, FAR_MM), aorta + point(0, 0, FAR_MM))
    canvas.tube(*whole, radius_mm + 1.3, 60)
    canvas.tube(*whole, radius_mm, body.aorta_hu, "aorta")
    for angle, z in zip(rng.uniform(0, 2 * np.pi, 8), rng.uniform(-150, 60, 8), strict=True):
        plaque = aorta + point(radius_mm * np.cos(angle), radius_mm * np.sin(angle), z)
        canvas.ball(plaque, (2.4, 1.6, 4), 620)
    arterial_hu = body.aorta_hu - 20
    coeliac = aorta + point(0, -10, 4 + at[2])
    canvas.tube(coeliac, coeliac + point(2, -14, -3), 3.4, arterial_hu)
    canvas.tube(coeliac + point(2, -14, -3), coeliac + point(-28, -18, -2), 2.3, arterial_hu)
    canvas.tube(coeliac + point(2, -14, -3), coeliac + point(40, -10, 4), 2.4, arterial_hu)
    canvas.tube(coeliac + point(40, -10, 4), coeliac + point(74, 8, 8), 2.2, arterial_hu)
    mesenteric = aorta + point(0, -10, -16 + at[2])
    canvas.tube(mesenteric, mesenteric + point(2, -13, -6), 3.3, arterial_hu)
    canvas.tube(mesenteric + point(2, -13, -6), mesenteric + point(0, -22, -170), 3.1, arterial_hu)
    for side, x in ((-1, -34), (1, 36)):  # adrenals: an inverted V
        apex = at + point(x, front + 2, -14)
        canvas.tube(apex, apex + point(side * 9, 12, -4), 2.2, 95)
        canvas.tube(apex, apex + point(-side * 2, 14, -4), 2.0, 95)


def paint_portal_vein(canvas: Canvas, body: Body) -> None:
    """Portal vein from the confluence into the liver, splenic and mesenteric vein, vena cava."""
    at, hu = body.shift_mm, body.portal_hu
    confluence, hilum = at + point(2, 2, -32), at + point(-30, 2, -2)
    canvas.tube(confluence, confluence + point(40, 4, 14), 4.2, hu)
    canvas.tube(confluence + point(40, 4, 14), at + point(84, 20, 8), 4.0, hu)
    canvas.tube(confluence, confluence + point(-4, -4, -130), 4.6, hu - 20)
    canvas.tube(confluence, hilum, 6.4, hu, PORTAL_VEIN)
    canvas.tube(hilum, at + point(-58, 0, 4), 5.6, hu, PORTAL_VEIN, end_radius_mm=4.4)
    canvas.tube(hilum, at + point(-10, -32, 14), 4.8, hu, PORTAL_VEIN, end_radius_mm=3.8)
    canvas.tube(hilum + point(6, -8, -16), hilum + point(-6, -7, 4), 2.6, 12)  # bile duct
    cava_y = body.vertebra_y_mm - 27
    cava = ellipsoid((-22, cava_y, 0), (12.5, 9.5, FAR_MM * 3))
    canvas.paint((-40, 0, -FAR_MM), (0, 80, 96), inset(cava, -1.2), 50)
    canvas.paint((-40, 0, -FAR_MM), (0, 80, 96), cava, 104, CAVA)
    renal = ellipsoid((-25, cava_y + 1, -55), (7, 5, 45))  # blood from the kidneys, not mixed yet
    canvas.paint((-40, 0, -110), (0, 80, 0), common(cava, renal), 138, CAVA, edge_mm=5.0)
