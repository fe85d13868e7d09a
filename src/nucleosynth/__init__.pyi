# The public names and their homes, each named here alone: type checkers read this file as a stub, and
# __init__.py reads it to import a name when it is first used.
from nucleosynth.catalogue import list_models as list_models
from nucleosynth.data.picture_files import save_grid as save_grid
from nucleosynth.data.picture_files import save_images as save_images
from nucleosynth.data.picture_files import save_masks as save_masks
from nucleosynth.data.split import Split as Split
from nucleosynth.data.split_rules import split as split
from nucleosynth.data.tileset import TileSet as TileSet
from nucleosynth.diffusion.config import GeneratorConfig as GeneratorConfig
from nucleosynth.diffusion.config import SynthesisConfig as SynthesisConfig
from nucleosynth.diffusion.generator import Generator as Generator
from nucleosynth.diffusion.preview import preview as preview
from nucleosynth.diffusion.synthesis import synthesise as synthesise
from nucleosynth.diffusion.training.generator import train_generator as train_generator
from nucleosynth.errors import InputError as InputError
from nucleosynth.errors import NucleosynthError as NucleosynthError
from nucleosynth.errors import WorkError as WorkError
from nucleosynth.evaluate.fidelity.score import fidelity as fidelity
from nucleosynth.evaluate.memorization.audit import memorization as memorization
from nucleosynth.evaluate.nuclei.morphology import compare_morphology as compare_morphology
from nucleosynth.layouts.fit import fit_layouts as fit_layouts
from nucleosynth.layouts.model import LayoutModel as LayoutModel
from nucleosynth.nuclei.agreement import mask_agreement as mask_agreement
from nucleosynth.nuclei.morphology import nuclei_table as nuclei_table
from nucleosynth.nuclei.morphology import tile_table as tile_table
from nucleosynth.progress import show_progress as show_progress
from nucleosynth.segmentation.frames import import_tiles as import_tiles
from nucleosynth.segmentation.segmenter import segment as segment
from nucleosynth.study.design.config import StudyConfig as StudyConfig
from nucleosynth.study.run import run_study as run_study

__version__: str
