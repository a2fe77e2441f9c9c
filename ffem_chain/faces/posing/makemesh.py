"""Makes `data/mesh-1.npz`, the shape by which faces are turned: once, from portraits of people who do not exist.

    python -m ffem_chain.faces.posing.makemesh PORTRAITS data/mesh-1.npz

The 468 points of FaceMesh (`facemesh.py`) on every near-frontal portrait and on its mirror image are averaged
(generalised Procrustes, Gower 1975) and made symmetric. Two things no frontal portrait tells are set here: the pitch
that counts as zero (`TILT`), and what lies around the face, which is a sheet that leaves its rim smoothly. Captures
depend on the result: another shape is another name, and the old one stays.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.facemesh import FaceMesh
from ffem_chain.faces.posing.frontal import heights
from ffem_chain.faces.posing.mesh import FACE, angles, five_of, procrustes, rotation

Points = NDArray[np.float64]
# Degrees by which the average portrait is turned up. LFW's faces look up by 3 more, so this is between the two.
TILT = 2.0
_FRONTAL = 10.0  # degrees of yaw by five landmarks
_APART = 1 / 10  # between the points of the sheet around the face, in sides of the square
_AROUND = 0.1  # how far the sheet goes beyond the square
_GRID = 160
_FINE, _BROAD, _FADE = 0.01, 0.03, 0.12  # of the square: widths of the averages, and where the one becomes the other
_RING, _AWAY = 60, (0.03, 0.07)  # points of a ring around the face, and how far from its rim


def average(meshes: list[Points]) -> Points:
    """Generalised Procrustes average of (n, 3) each, centred, of mean square radius 1, at their average pitch."""
    mean = _normal(meshes[0])
    for _ in range(5):
        placed = []
        for mesh in meshes:
            scale, turn, shift = procrustes(mesh, mean)
            placed.append(scale * mesh @ turn.T + shift)
        mean = _normal(np.mean(placed, axis=0))
    # so far it looks where the first of them looks; no further up or down than they do on average is wanted
    pitch = float(np.mean([angles(procrustes(mean, mesh)[1])[1] for mesh in meshes]))
    return mean @ rotation(0, pitch, 0).T


def _normal(mesh: Points) -> Points:
    centred = mesh - mesh.mean(axis=0)
    return np.asarray(centred / math.sqrt(float((centred**2).sum(axis=1).mean())))


def symmetric(mesh: Points) -> Points:
    """The average with its own mirror image; which point is which one's mirror is found by distance."""
    mirror = mesh * (-1, 1, 1)
    for _ in range(3):
        partner = ((mesh[:, None] - mirror[None]) ** 2).sum(axis=2).argmin(axis=1)
        scale, turn, shift = procrustes(mirror[partner], mesh)
        mirror = scale * mirror @ turn.T + shift
    # the partners are those of the unmirrored mesh too: taken twice they are where they began
    if not np.array_equal(partner[partner], np.arange(len(mesh))):
        raise ValueError("the average is too crooked to be made symmetric")
    both = (mesh + mirror[partner]) / 2
    both[:, 0] -= both[:, 0].mean()
    return np.asarray((both + both[partner] * (-1, 1, 1)) / 2)


def in_template(mesh: Points) -> Points:
    """Tilted to the pitch that counts as zero, and in the square of side 1 where its eyes, nose and mouth lie best on
    the template; its plane of symmetry is x = 0.5, z = 0 the mean depth of the five landmarks."""
    tilted = mesh @ rotation(0, TILT, 0).T
    five, template = five_of(tilted), align.TEMPLATE - (align.TEMPLATE[:, 0].mean(), 0)
    across = five[:, :2] - five[:, :2].mean(axis=0)
    wanted = template - template.mean(axis=0)
    scale = float((across * wanted).sum() / (across**2).sum())
    middle = align.TEMPLATE[:, 1].mean() - scale * five[:, 1].mean()
    return np.asarray(scale * (tilted - (0, 0, five[:, 2].mean())) + (0.5, middle, 0))


def sheet(mesh: Points) -> Points:
    """Points (k, 3) around the face up to a little beyond the square: rings along its rim, then a grid. Their depth
    solves Laplace's equation, beginning with that of the rim."""
    grid = np.linspace(-_AROUND, 1 + _AROUND, _GRID)
    x, y = np.meshgrid(grid, grid)
    hull = cv2.convexHull(mesh[:, :2].astype(np.float32))[:, 0].astype(np.float64)
    inside = _inside(hull, np.column_stack([x.ravel(), y.ravel()])).reshape(x.shape)
    # the depth of the face's rim, on the grid: that of its nearest points
    edge = mesh[_inside(hull, mesh) < 0.012]
    weight = 1 / ((edge[:, 0] - x[..., None]) ** 2 + (edge[:, 1] - y[..., None]) ** 2 + 1e-3) ** 3
    rim = (weight * edge[:, 2]).sum(axis=2) / weight.sum(axis=2)
    depth = rim
    for _ in range(6000):
        wide = np.pad(depth, 1, mode="edge")
        around = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
        depth = np.where(inside >= 0, rim, around)
    depth = (depth + depth[:, ::-1]) / 2
    middle, angle = np.array([0.5, 0.47]), np.arange(_RING) * 2 * math.pi / _RING
    ray = np.column_stack([np.sin(angle), np.cos(angle)])
    reach = np.linspace(0.3, 0.8, 501)
    on_rays = _inside(hull, (middle + reach[:, None, None] * ray).reshape(-1, 2)).reshape(501, _RING)
    rings = [middle + reach[(on_rays < -away).argmax(axis=0), None] * ray for away in _AWAY]
    at = np.linspace(-_AROUND, 1 + _AROUND, round((1 + 2 * _AROUND) / _APART) + 1)
    square = np.column_stack([v.ravel() for v in np.meshgrid(at, at)])
    # the border of the sheet is always there, so that it has no gaps
    border = np.abs(square - 0.5).max(axis=1) > 0.499 + _AROUND
    square = square[border | (_inside(hull, square) < -_AWAY[-1] - _APART / 2)]
    inner = [ring[np.abs(ring - 0.5).max(axis=1) < 0.48 + _AROUND] for ring in rings]
    flat = np.concatenate([*inner, square])
    return np.column_stack([flat, _looked_up(depth, (flat + _AROUND) / (1 + 2 * _AROUND) * (_GRID - 1))])


def _looked_up(depth: NDArray[Any], at: Points) -> NDArray[np.float64]:
    """A map (h, w) at positions (n, 2) px, x and y."""
    x, y = (at[None, :, i].astype(np.float32) for i in (0, 1))
    return np.asarray(cv2.remap(depth.astype(np.float32), x, y, cv2.INTER_LINEAR)[0], np.float64)


def _inside(hull: Points, points: Points) -> NDArray[np.float64]:
    """How far points (n, 2) lie inside of a convex polygon (k, 2); below 0 outside."""
    contour = hull.astype(np.float32)
    return np.array([cv2.pointPolygonTest(contour, (float(x), float(y)), True) for x, y in points[:, :2]])


def smooth(points: Points, triangles: NDArray[np.uint16]) -> Points:
    """The surface without steps: depths of (n, 3) averaged over a neighbourhood that is wide along the face's rim."""
    wide = 1 + 2 * _AROUND
    depth = heights(points, triangles.astype(np.int32), -_AROUND, wide)
    if depth.min() < -1:
        raise ValueError("the sheet has a gap")
    depth = np.asarray((depth + depth[:, ::-1]) / 2, np.float32)  # the triangles are not symmetric
    fine, broad = (
        np.asarray(cv2.GaussianBlur(depth, (0, 0), sigma * len(depth) / wide, borderType=cv2.BORDER_REPLICATE))
        for sigma in (_FINE, _BROAD)
    )
    at = (points[:, :2] + _AROUND) / wide * len(depth) - 0.5
    near, far = (_looked_up(blurred, at) for blurred in (fine, broad))
    hull = cv2.convexHull(points[:FACE, :2].astype(np.float32))[:, 0].astype(np.float64)
    inner = np.clip(_inside(hull, points) / _FADE, 0, 1)
    return np.column_stack([points[:, :2], inner * near + (1 - inner) * far])


def delaunay(points: Points) -> NDArray[np.uint16]:
    """Triangles (t, 3) of (n, 2), by OpenCV; all wound the same way."""
    low, high = points.min() - 1, points.max() + 1
    division = cv2.Subdiv2D((0, 0, 10000, 10000))
    scaled = ((points - low) / (high - low) * 9999).astype(np.float32)
    names = {division.insert((float(x), float(y))): index for index, (x, y) in enumerate(scaled)}
    triangles = []
    for corners in np.asarray(division.getTriangleList()).reshape(-1, 3, 2):
        if corners.min() >= 0 and corners.max() < 10000:
            a, b, c = (names[division.locate((float(x), float(y)))[2]] for x, y in corners)
            (ux, uy), (vx, vy) = points[b] - points[a], points[c] - points[a]
            triangles.append((a, b, c) if ux * vy > uy * vx else (a, c, b))
    return np.array(sorted(triangles), np.uint16)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    detector, network, meshes = CenterFace(), FaceMesh(), []
    for path in sorted(args.portraits.glob("*.jpg")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        found = detector.detect(picture)
        if found:
            face = max(found, key=lambda d: d.score)
            if abs(align.pose(face.landmarks)[0]) < _FRONTAL:
                meshes.append(network.points(picture, face.landmarks))
    face_points = in_template(symmetric(average(meshes)))
    points = np.concatenate([face_points, sheet(face_points)])
    triangles = delaunay(points[:, :2])
    points = smooth(points, triangles)
    np.savez_compressed(args.output, points=points.astype(np.float32), triangles=triangles)
    print(f"{len(meshes)} portraits, {len(points)} points; landmarks off the template by", end=" ")
    print(np.round(np.abs(five_of(face_points)[:, :2] - align.TEMPLATE), 3).tolist())


if __name__ == "__main__":
    main()
