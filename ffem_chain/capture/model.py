"""What a sealed capture is, in memory. `format` gives its bytes, docs/FORMAT.md their layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ffem_chain.errors import FormatError
from ffem_chain.keys.tree import FaceContext, TreeContext

MAX_FACES = 1024
MAX_SIDE = 65_535
MAX_PIXELS = 60_000_000
GRID = 4
ROTATIONS = ("sphere", "block")
PRECISIONS = {"q8": 8, "q10": 10, "q12": 12}
SIZES = (64, 128)
GEOMETRY_VALUES = 24
TAG = 16
# the digest of the pixels travels inside the ciphertext
EXACT_OVERHEAD = 32 + TAG
GEOMETRY_LENGTH = 8 * GEOMETRY_VALUES + TAG


@dataclass(frozen=True)
class Box:
    """Pixels [x, x + width) by [y, y + height) of the picture, origin at the top left."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def rows(self) -> slice:
        return slice(self.y, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.x, self.right)

    def pack(self) -> bytes:
        """16 bytes: x, y, width, height as uint32."""
        return b"".join(v.to_bytes(4, "big") for v in (self.x, self.y, self.width, self.height))

    def check(self, width: int, height: int) -> Box:
        """Itself; FormatError unless it lies in the picture, on the grid of 4 px but where the picture ends."""
        inside = 0 <= self.x < self.right <= width and 0 <= self.y < self.bottom <= height
        on_grid = self.x % GRID == 0 and self.y % GRID == 0
        on_grid = on_grid and (self.width % GRID == 0 or self.right == width)
        on_grid = on_grid and (self.height % GRID == 0 or self.bottom == height)
        if not inside or not on_grid:
            raise FormatError("a face's box is not in the picture or not on its grid")
        return self


@dataclass(frozen=True)
class PublicFace:
    """What everybody may know about a face.

    `box` is what I_enc covers. `yaw`, `pitch`, `roll` in degrees, multiples of 3. `alignment`: centre of the eye line
    x, y (px, multiples of 4), log2 of the scale from the model's face to the picture (multiples of 0.05), rotation in
    degrees (multiples of 3). `sealed` False: too small, covered for ever; no key opens it.
    """

    box: Box
    yaw: int
    pitch: int
    roll: int
    alignment: tuple[float, float, float, float]
    sealed: bool = True


@dataclass(frozen=True)
class SealedFace:
    """A face under its key. `z` is the quantised Z_enc in fixed-length packing; `exact` its pixels, `geometry` the
    radius and the exact alignment, both AES-256-GCM with their nonces. `commit` commits to the face key."""

    index: int
    commit: bytes
    z: bytes
    exact_nonce: bytes
    exact: bytes
    geometry_nonce: bytes
    geometry: bytes


@dataclass(frozen=True)
class Manifest:
    """Head of a capture. `size` is m in pixels; `files` the sha256 (hex) of the other files by name."""

    uid: bytes
    album_salt: bytes
    epoch: int
    slot: int
    model_id: bytes
    rotation: str
    precision: str
    size: int
    width: int
    height: int
    faces: int
    key_commit: bytes
    files: Mapping[str, str]
    version: int = 1

    @property
    def tree(self) -> TreeContext:
        return TreeContext(self.album_salt, self.epoch)

    def face_context(self, index: int) -> FaceContext:
        """What the key of face `index` is bound to."""
        return FaceContext(self.uid, index, self.model_id, self.rotation, self.precision)

    @property
    def latent_bytes(self) -> int:
        """Length of every face's `z`."""
        return 3 * self.size * self.size * PRECISIONS[self.precision] // 8


@dataclass(frozen=True)
class Capture:
    """A sealed capture, checked. `public_faces` has one entry a face, `faces` one a sealed face, by index."""

    manifest: Manifest
    public_faces: tuple[PublicFace, ...]
    faces: tuple[SealedFace, ...]
    image_png: bytes

    def face(self, index: int) -> SealedFace:
        """The sealed face `index`. FormatError where there is none or it was covered for ever."""
        for face in self.faces:
            if face.index == index:
                return face
        if 0 <= index < len(self.public_faces):
            raise FormatError(f"face {index} was too small: it was covered for ever, and no key opens it")
        raise FormatError(f"there is no face {index}; the capture has {len(self.public_faces)}")

    def to_files(self) -> dict[str, bytes]:
        """The four files, canonical bytes; the manifest's digests and counts are computed here."""
        from ffem_chain.capture.format import to_files

        return to_files(self)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Capture:
        """Strict inverse of `to_files`. FormatError for anything else, Tampered for a digest that does not match."""
        from ffem_chain.capture.format import from_files

        return from_files(files)
