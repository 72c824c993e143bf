"""The page's interface for programs: typed functions that become endpoints, and MCP tools of the same names.

Gradio reads the annotations as they stand, so their evaluation is not postponed in this file. It shows the docstrings
as the descriptions of the tools.
"""

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypedDict
from urllib.parse import unquote

from gradio import Error, FileData

from fusion.benchmark.measure import measure_files
from fusion.errors import FusionError, ImageError
from fusion.exposures.ghosts import Handling
from fusion.io.colour_space import Gamut
from fusion.io.files import new_folder
from fusion.io.image import Bits
from fusion.io.saving import Format, Saving
from fusion.methods.base import Method, Mode
from fusion.metrics import METRICS
from fusion.metrics.base import SCORED_PIXELS
from fusion.outputs.names import result_name
from fusion.outputs.tables import Row
from fusion.page.gradio_internals import FILE_ADDRESS, is_file_obj_with_meta, save_base64_to_cache
from fusion.page.job_queue import QueuePosition
from fusion.page.services import Services
from fusion.pipeline import Failed, Fused, Loaded, Scored
from fusion.settings import ColourMerge, Settings

Given: TypeAlias = FileData | str
"""An uploaded file, or the address of one, as MCP clients give it."""


class FusedFile(TypedDict):
    """A method's picture.

    The file stands in a dictionary because MCP then gives its address; a file alone would be sent whole, as text.
    """

    method: str
    file: FileData | None
    seconds: float | None
    notes: list[str]


class MethodResult(FusedFile):
    """A method's picture and its scores, or why there is none."""

    scores: dict[str, float]
    failure: str | None


@dataclass(frozen=True)
class Api:
    """The endpoints. The pictures of each request go to a folder of their own inside Gradio's cache."""

    services: Services
    visitor: Callable[[], Callable[[], bool]]
    """Makes a function that says whether the program whose request this is still listens."""

    def fuse(
        self,
        files: list[Given],
        method: str = "virtual-bracket",
        mode: Mode = "auto",
        bits: Bits = 8,
        align: bool = True,
        ghosts: Handling = "auto",
        colour: ColourMerge = "natural",
        file_format: Format = "png",
        quality: int = 95,
        keep_metadata: bool = False,
        gamut: Gamut = "srgb",
    ) -> FusedFile:
        """Fuse two to nine exposures of one scene into one photograph that shows the details of all of them.

        Args:
            files: Two to nine exposures of one scene, in any order, of equal size.
            method: A name that the tool "methods" lists.
            mode: "exact" to run networks at full size, "fast" to run them on a smaller copy, "auto" to choose by size.
            bits: Bits of each channel of a PNG or TIFF.
            align: Whether hand-held exposures are aligned first.
            ghosts: "auto" to take what certainly moved from one exposure and report the rest, "remove" to take all that
                moved from one exposure, "mark" to report it, "ignore" not to look.
            colour: "natural" to take colours from the exposures that hold them, "published" as a method's authors do.
            file_format: "png", "tiff", "jpeg", "ultra-hdr" (a JPEG that is brighter on HDR displays), or "exr" (the
                light of the scene as an OpenEXR file, which is the same for all methods).
            quality: Quality of a JPEG, 0 to 100.
            keep_metadata: Whether the camera's data and the colour profile of the middle exposure are kept in the file.
            gamut: "srgb", or "display-p3" to keep colours of the exposures that sRGB lacks.

        Returns:
            method: its name
            file: the fused picture, which is named after the exposures and the method
            seconds: the time it took, without reading and writing
            notes: sentences on how the exposures were prepared and how the picture was made
        """
        with _refusals():
            saving = Saving(file_format, bits, quality, keep_metadata, gamut=gamut)
            settings = Settings(mode=mode, align=align, ghosts=ghosts, colour=colour, saving=saving)
            made = next((some[0] for some in self._results(files, [method], settings) if some), None)
            if made is None:
                raise FusionError("The program that asked for this has disconnected.")
            if made["failure"]:
                raise FusionError(made["failure"])
            return FusedFile(method=made["method"], file=made["file"], seconds=made["seconds"], notes=made["notes"])

    def compare(
        self,
        files: list[Given],
        methods: list[str] | None = None,
        mode: Mode = "auto",
        align: bool = True,
        ghosts: Handling = "auto",
        colour: ColourMerge = "natural",
        file_format: Format = "png",
        bits: Bits = 8,
        quality: int = 95,
        keep_metadata: bool = False,
        gamut: Gamut = "srgb",
    ) -> Iterator[list[MethodResult]]:
        """Fuse two to nine exposures of one scene with several methods, and measure every result.

        Args:
            files: Two to nine exposures of one scene, in any order, of equal size.
            methods: Names that the tool "methods" lists; without it, all that are available.
            mode: "exact" to run networks at full size, "fast" to run them on a smaller copy, "auto" to choose by size.
            align: Whether hand-held exposures are aligned first.
            ghosts: "auto" to take what certainly moved from one exposure and report the rest, "remove" to take all that
                moved from one exposure, "mark" to report it, "ignore" not to look.
            colour: "natural" to take colours from the exposures that hold them, "published" as a method's authors do.
            file_format: "png", "tiff", "jpeg", "ultra-hdr" (a JPEG that is brighter on HDR displays), or "exr" (the
                light of the scene as an OpenEXR file, which is the same for all methods).
            bits: Bits of each channel of a PNG or TIFF.
            quality: Quality of a JPEG, 0 to 100.
            keep_metadata: Whether the camera's data and the colour profile of the middle exposure are kept in the file.
            gamut: "srgb", or "display-p3" to keep colours of the exposures that sRGB lacks.

        Returns:
            a list, which grows until all are done, of
            method: its name
            file: the fused picture, which is named after the exposures and the method
            seconds: the time it took, without reading and writing
            notes: sentences on how the exposures were prepared and how the picture was made
            scores: the value of every metric by its name; large pictures are measured on a copy of 1 megapixel
            failure: why there is no picture, if there is none
        """
        chosen = [m.name for m in self.services.available] if methods is None else methods
        with _refusals():
            # Gradio does not check what programs give.
            if not isinstance(chosen, list) or not chosen or not all(isinstance(name, str) for name in chosen):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise FusionError("Give the methods' names as a list of at least one.")
            saving = Saving(file_format, bits, quality, keep_metadata, gamut=gamut)
            settings = Settings(mode=mode, align=align, ghosts=ghosts, colour=colour, saving=saving)
            yield from self._results(files, list(dict.fromkeys(chosen)), settings)

    def methods(self) -> list[Row]:
        """List the methods that can fuse photographs.

        Returns:
            a list of
            name: the name that the other tools take
            title: the name that people read
            paper: where it was published
            parameters: how many values were trained
            available: whether it can run here
            reason: why it cannot run, if it cannot
            options: its options with range and default, which the page and the command line can change
        """
        return self.services.described

    def metrics(self, under: Given, over: Given, fused: Given) -> dict[str, float]:
        """Measure a fused picture against the two photographs that it was made from.

        Args:
            under: The darker photograph.
            over: The brighter photograph, of the same size.
            fused: The fused picture, of the same size.

        Returns:
            the value of every metric by its name; large pictures are measured on a copy of 1 megapixel
        """

        def measured() -> Generator[dict[str, float], None, None]:
            with self._paths([under, over, fused]) as (first, second, third):
                sandbox = self.services.session.sandbox
                yield measure_files((first, second), third, METRICS, limit=SCORED_PIXELS, sandbox=sandbox)

        with _refusals():
            return next(self._followed(measured, 1), {})

    def _results(
        self, files: Sequence[Given], methods: Sequence[str], settings: Settings
    ) -> Iterator[list[MethodResult]]:
        """Yield the results after each event, once it is this request's turn."""
        return self._followed(lambda: self._steps(files, methods, settings), len(methods))

    def _followed(self, steps: Callable[[], Generator[Any, None, None]], methods: int) -> Iterator[Any]:
        states = self.services.queue.follow(steps, methods=methods, wanted=self.visitor())
        return (state for state in states if not isinstance(state, QueuePosition))

    def _steps(
        self, files: Sequence[Given], methods: Sequence[str], settings: Settings
    ) -> Generator[list[MethodResult], None, None]:
        with self._paths(files) as paths:
            folder = new_folder(self.services.folder, "run")
            notes, origin = list[str](), None
            made: dict[str, MethodResult] = {}
            for event in self.services.compare(paths, methods, settings, show_corrected=False):
                match event:
                    case Loaded(scene):
                        notes, origin = list(scene.notes), scene.origin(settings.saving)
                    case Fused(method, photo, seconds):
                        path = folder / result_name(paths, method.name, settings.saving.ending)
                        settings.saving.write(photo, path, origin)
                        made[method.name] = _result(method, path=path, seconds=seconds, notes=[*notes, *event.notes])
                    case Scored(fused, scores):
                        made[fused.method.name] = {**made[fused.method.name], "scores": scores}
                    case Failed(method, reason):
                        made[method.name] = _result(method, notes=notes, failure=reason)
                    case _:
                        pass
                yield list(made.values())

    @contextmanager
    def _paths(self, files: Sequence[Given]) -> Generator[list[str], None, None]:
        """Say where the photographs lie. Those that came as text are deleted after the request."""
        if not isinstance(files, list):
            raise ImageError("Give the photographs as a list.")
        given = new_folder(self.services.folder, "given")
        try:
            yield [self._path(file, str(given)) for file in files]
        finally:
            shutil.rmtree(given)

    def _path(self, file: object, given: str) -> str:
        """Say where a photograph lies. Gradio has put uploads into its cache, and passes text on as it came."""
        if isinstance(file, dict) and is_file_obj_with_meta(file):
            return file["path"]
        address = str(file)
        try:
            served = Path(unquote(address.partition(FILE_ADDRESS)[2])).resolve()
            if served.is_relative_to(self.services.folder.resolve()) and served.is_file():
                return str(served)  # a file that the page serves itself; it fetches nothing
            if address.startswith("data:"):
                return save_base64_to_cache(address, given)
        except Exception as error:
            raise ImageError("A photograph cannot be read from its address; upload it instead.") from error
        raise ImageError("Give each photograph as an uploaded file, as the address of one, or as a data: URL.")


def _result(
    method: Method,
    *,
    path: Path | None = None,
    seconds: float | None = None,
    notes: list[str],
    failure: str | None = None,
) -> MethodResult:
    file: Any = path and FileData(path=str(path)).model_dump()  # Gradio does not find a model inside a list
    return MethodResult(method=method.name, file=file, seconds=seconds, notes=notes, scores={}, failure=failure)


@contextmanager
def _refusals() -> Generator[None, None, None]:
    """Pass the sentence of a refusal on to the program. Any other error is only logged."""
    try:
        yield
    except FusionError as error:
        raise Error(str(error), print_exception=False) from error
