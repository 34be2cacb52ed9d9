"""Every tolerance of the tests, each with its reason. A test that needs another one adds it here."""

from __future__ import annotations

FLOAT64 = 1e-9
"""Chains of a few hundred float64 operations on numbers near one: 1e-16 each, with room for conditioning."""

POINT = 2e-6
"""Normalised coordinates in float32: some 2^-24 for each of up to 20 products of size one."""

SAMPLE = 5e-5
"""Sampled values in [0, 1]: a coordinate is right to 1e-7 of the width, so to 2e-5 pixels at a width of 200,
and a value changes by at most one per pixel."""

BYTE_SAMPLE = 255 * SAMPLE
"""The same for values in [0, 255]."""

THETA = 5e-5
"""theta of one network on two engines: float32 sums in another order, which the large weights of the random
rectifier amplify. The contract allows twice as much."""

SCORE = 1e-4
"""score of one network on two engines: a ratio of differences of the points, so somewhat worse than theta."""

PIXEL_TWO_ENGINES = 10 * BYTE_SAMPLE
"""Of 255, where theta was found by two engines: what `THETA` allows moves a sample by some 1e-3 pixels."""

PIXEL_ROUNDED = 0.51
"""Of 255, between a float result and one that was rounded to whole numbers: half, and a little more."""

PIXEL_ANYWHERE = 1.0
"""Of 255, as the contract has it, between paths that round and whose thetas differ a little as well."""

BASIS_OF_ROWS = 1e-4
"""An entry of the basis that was made from a few rows of the spline."""

FEW_ROWS = 0.02
"""Source pixels of a grid that was: less than a hundredth of a letter's stroke."""

ARC = 0.04
"""Text heights: what a spline through 20 points leaves of an arc of up to 120 degrees. Letters are cut from
about 0.1 on, for the margin is 0.15."""

ROUND_TRIP = 1e-3
"""Pixels, there and back through an inverse that is found by iteration in float64."""

HALF_PIXEL_RULED_OUT = 0.2
"""Pixels: where a painted dot is found. Loose enough for its discretisation, too tight for a mix-up of pixel
edges and pixel centres, which shifts by half a pixel."""

CORRELATION = 0.9
"""Of a word that was bent, drawn and straightened again with the flat word: two bilinear resamplings blur the
edges of the strokes, and nothing else may differ."""

DIFFERENCE = 1e-6
"""Derivatives near one, in float64, by central differences with a step of 1e-5: the step squared, and
rounding over the step, are each 1e-10; a size of 17 pixels, its square and a sum of some dozen terms multiply
that."""

OPENCV_SAMPLE = 1 / 32
"""Sampled values in [0, 1], by OpenCV: 4.x rounds positions to 1/32 pixel, so each of x and y is off by up to
1/64, and a value changes by at most one per pixel. A mix-up of edges and centres would be half a pixel."""

HALF_THETA = 5e-3
"""theta of a network in float16 beside float32, normalised: 2^-11 for each of some ten roundings on the way,
of numbers near one, which the large weights of the random rectifier amplify."""

HALF_PIXEL = 0.5
"""Of 255, on the mean: `HALF_THETA` moves a sample by a fraction of a pixel, and only edges show it."""

GRADIENT = 1e-4
"""Of the largest gradient: float32 sums of some hundred terms of either sign, in any order."""
