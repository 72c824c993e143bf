"""What programs ask of the page: typed functions that become its endpoints, and MCP tools of the same names.

Gradio reads their annotations as they stand, so their evaluation is not postponed here; their docstrings are what the
tools say of themselves.
"""

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypedDict
from urllib.parse import unquote

from gradio import Error, FileData
from gradio.processing_utils import save_base64_to_cache
from gradio_client.utils import is_file_obj_with_meta

from fusion.benchmark.measure import measure_files
from fusion.errors import FusionError, ImageError
from fusion.exposures.ghosts import Handling
from fusion.io.files import new_folder
from fusion.io.image import Bits, save
from fusion.io.sandbox import Sandbox
from fusion.methods import METHODS
from fusion.methods.base import Method, Mode
from fusion.metrics import METRICS
from fusion.metrics.base import SCORED_PIXELS
from fusion.outputs.tables import Row, method_row
from fusion.page.job_queue import Place
from fusion.pipeline import Event, Failed, Fused, Loaded, Scored
from fusion.settings import Settings

Given: TypeAlias = FileData | str
"""An uploaded file; or its address, as MCP clients give it."""

_SERVED = "/gradio_api/file="
"""What begins the addresses of Gradio's cache."""


class Fusion(TypedDict):
    """A method's picture.

    Its file stands in a dictionary, so that MCP gives its address: a file alone would be sent whole, as text.
    """

    method: str
    file: FileData | None
    seconds: float | None
    notes: list[str]


class Outcome(Fusion):
    """A method's picture and its scores, or why there is none."""

    scores: dict[str, float]
    failure: str | None


@dataclass(frozen=True)
class Api:
    """The endpoints. Each request's pictures go to a folder of their own inside `folder`, which is Gradio's cache."""

    events: Callable[..., Iterator[Event]]
    """`pipeline.compare`, run where the page runs it."""
    folder: Path
    sandbox: Sandbox
    """Decodes the pictures that `metrics` measures."""
    follow: Callable[[Callable[[], Generator[Any, None, None]], int], Iterator[Any]] = lambda steps, _: steps()
    """What is made step by step, of so many methods, when its turn has come."""

    def fuse(
        self,
        files: list[Given],
        method: str = "pyramef",
        mode: Mode = "auto",
        bits: Bits = 8,
        align: bool = True,
        ghosts: Handling = "mark",
    ) -> Fusion:
        """Fuse two to nine exposures of one scene into a photograph that shows what each of them lost.

        Args:
            files: Two to nine exposures of one scene, in any order, of equal size.
            method: A name that the tool "methods" lists.
            mode: "exact" for networks that see every pixel, "fast" for a smaller copy, "auto" for what suits the size.
            bits: Bits a channel of the PNG.
            align: Whether hand-held exposures are registered first.
            ghosts: "remove" to take things that moved from one exposure, "mark" to say so, "ignore" to not look.

        Returns:
            method: its name
            file: the fused picture, a lossless PNG
            seconds: the time it took, without reading and writing
            notes: sentences on what was changed on the way
        """
        with _refusals():
            settings = Settings(mode=mode, align=align, ghosts=ghosts, bits=bits)
            made = next((some[0] for some in self._outcomes(files, [method], settings) if some), None)
            if made is None:
                raise FusionError("The program that asked for it has left.")
            if made["failure"]:
                raise FusionError(made["failure"])
            return Fusion(method=made["method"], file=made["file"], seconds=made["seconds"], notes=made["notes"])

    def compare(
        self,
        files: list[Given],
        methods: list[str] | None = None,
        mode: Mode = "auto",
        align: bool = True,
        ghosts: Handling = "mark",
    ) -> Iterator[list[Outcome]]:
        """Fuse two to nine exposures of one scene with several methods, and measure every result.

        Args:
            files: Two to nine exposures of one scene, in any order, of equal size.
            methods: Names that the tool "methods" lists; without it, all that are available.
            mode: "exact" for networks that see every pixel, "fast" for a smaller copy, "auto" for what suits the size.
            align: Whether hand-held exposures are registered first.
            ghosts: "remove" to take things that moved from one exposure, "mark" to say so, "ignore" to not look.

        Returns:
            a list, which grows until all are done, of
            method: its name
            file: the fused picture, a lossless PNG
            seconds: the time it took, without reading and writing
            notes: sentences on what was changed on the way
            scores: the value of every metric by its name, of large pictures measured on a copy of 1 megapixel
            failure: why there is no picture, if there is none
        """
        chosen = [m.name for m in METHODS if not m.unavailable] if methods is None else methods
        with _refusals():
            # Gradio does not look at what programs give.
            if not isinstance(chosen, list) or not chosen or not all(isinstance(name, str) for name in chosen):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise FusionError("Give the methods' names as a list of at least one.")
            settings = Settings(mode=mode, align=align, ghosts=ghosts)
            yield from self._outcomes(files, list(dict.fromkeys(chosen)), settings)

    def methods(self) -> list[Row]:
        """List the methods that can fuse photographs.

        Returns:
            a list of
            name: what the other tools call it
            title: what people call it
            paper: where it was published
            parameters: how many values were trained
            available: whether it can run here
            reason: why not, if it cannot
            options: what may be chosen of it, with range and default; the page and the command line set it
        """
        return [method_row(m) for m in METHODS]

    def metrics(self, under: Given, over: Given, fused: Given) -> dict[str, float]:
        """Measure a fused picture against the two photographs that it was made from.

        Args:
            under: The darker photograph.
            over: The brighter photograph, of the same size.
            fused: The fused picture, of the same size.

        Returns:
            the value of every metric by its name, of large pictures measured on a copy of 1 megapixel
        """

        def measured() -> Generator[dict[str, float], None, None]:
            with self._paths([under, over, fused]) as (first, second, third):
                yield measure_files(first, second, third, METRICS, limit=SCORED_PIXELS, sandbox=self.sandbox)

        with _refusals():
            return next(self._followed(measured, 1), {})

    def _outcomes(self, files: Sequence[Given], methods: Sequence[str], settings: Settings) -> Iterator[list[Outcome]]:
        """What there is after each event, once it is this request's turn."""
        return self._followed(lambda: self._steps(files, methods, settings), len(methods))

    def _followed(self, steps: Callable[[], Generator[Any, None, None]], methods: int) -> Iterator[Any]:
        return (state for state in self.follow(steps, methods) if not isinstance(state, Place))

    def _steps(
        self, files: Sequence[Given], methods: Sequence[str], settings: Settings
    ) -> Generator[list[Outcome], None, None]:
        with self._paths(files) as paths:
            folder = new_folder(self.folder, "run")
            notes: list[str] = []
            made: dict[str, Outcome] = {}
            for event in self.events(paths, methods, settings, show_corrected=False):
                match event:
                    case Loaded(scene):
                        notes = list(scene.notes)
                    case Fused(method, photo, seconds):
                        path = folder / f"{method.name}.png"
                        save(photo, path, bits=settings.bits)
                        made[method.name] = _outcome(method, path=path, seconds=seconds, notes=[*notes, *event.notes])
                    case Scored(fused, scores):
                        made[fused.method.name] = {**made[fused.method.name], "scores": scores}
                    case Failed(method, reason):
                        made[method.name] = _outcome(method, notes=notes, failure=reason)
                    case _:
                        pass
                yield list(made.values())

    @contextmanager
    def _paths(self, files: Sequence[Given]) -> Generator[list[str], None, None]:
        """Where the photographs lie; what came as an address is there as long as the request."""
        if not isinstance(files, list):
            raise ImageError("Give the photographs as a list.")
        given = new_folder(self.folder, "given")
        try:
            yield [self._path(file, str(given)) for file in files]
        finally:
            shutil.rmtree(given)

    def _path(self, file: object, given: str) -> str:
        """Where a photograph lies: Gradio has put uploads into its cache, and hands on text as it came."""
        if isinstance(file, dict) and is_file_obj_with_meta(file):
            return file["path"]
        address = str(file)
        try:
            served = Path(unquote(address.partition(_SERVED)[2])).resolve()
            if served.is_relative_to(self.folder.resolve()) and served.is_file():
                return str(served)  # the page may serve it and not fetch it: its own network's addresses are refused
            if address.startswith("data:"):
                return save_base64_to_cache(address, given)
        except Exception as error:
            raise ImageError("A photograph cannot be read from its address; upload it instead.") from error
        raise ImageError("Give each photograph as an uploaded file, or by its address here, or as data:.")


def _outcome(
    method: Method,
    *,
    path: Path | None = None,
    seconds: float | None = None,
    notes: list[str],
    failure: str | None = None,
) -> Outcome:
    file: Any = path and FileData(path=str(path)).model_dump()  # as a model it would not be found inside the list
    return Outcome(method=method.name, file=file, seconds=seconds, notes=notes, scores={}, failure=failure)


@contextmanager
def _refusals() -> Generator[None, None, None]:
    """A refusal reaches the program as the sentence that it is; of anything else, only the log knows."""
    try:
        yield
    except FusionError as error:
        raise Error(str(error), print_exception=False) from error
