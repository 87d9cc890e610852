"""The page's longer texts, in one place. A line here is a line of the source only; a paragraph is a paragraph."""

import json

TITLE = """# Where does a deformable kernel look?
Drop a picture. A YOLOv8 with deformable large kernels (D-LKA) and one without look at it: what each finds, where every
kernel sampled, and what deformation changes."""

SEE = """Both models see the same pixels; an object counts as found by both where boxes of one class overlap by half
(IoU 0.5 or more), and as small under 32² pixels. Samples begin on the regular grid (rings) and move to where they were
learned (dots), for the cell that found the chosen object. Choose a dot of the diagram, or move over the picture: every
panel shows what the cell under the pointer samples in one deform stage, 5x5, then 7x7 with dilation 3 on what the 5x5
has deformed; **composed** shows all 25 x 49 paths. One cell of P3 is 8 input pixels, of P4 16, of P5 32. A sample's
colour is its **tap weight**: the mean of |weight| over channels, as a share of the stage's largest. *How wide*: the
root mean square distance of samples from their mean, against that of the grid. **Attention** is the gate: what the
large kernel makes of its surroundings multiplies the block's input, channel by channel; it is signed and has no
bounds. **Density** counts samples against the grid. Click to hold a cell, click again to let go. Closer: the buttons,
a double click, two fingers, or the wheel once you are closer; drag to move. Keys: arrows go from cell to cell, Enter
holds, Escape lets go, + - 0 zoom."""

WHAT_IF = """*Learned* is the D-LKA model as it was trained; *changed* is the same model, same weights, same picture,
with its offsets or gates changed in the stages that are ticked. **Off is the rigid twin**: with offsets at zero a
deformable convolution is the large kernel on its regular grid. (A rigid model that was trained as one is another
model: `scenes-rigid` is one, beside `scenes`.) **Mirrored** turns every offset round. **Shuffled** gives each cell the
offsets of another cell of the same map: as much deformation, but not where it belongs. **Another picture's** freezes
the offsets that the model predicts elsewhere. **Gate off** takes the whole block away. &#9733; marks a learned box
that has no partner (same class, IoU 0.5 or more) once all offsets are zero; what score is left in its place then,
under the least confidence, stands in *All objects*."""

NO_RECIPE = """The offsets are those of a picture of your own, which no recipe could bring along: to take this figure,
choose an example for them."""

FOUR_WAYS = """Each panel is compared with the one that it differs from in one thing. 2 has the same weights as 3, which
learned together with their offsets: it shows the large kernel without them, not what a rigid model would have learned.
Where 1 is a rigid twin, it is that model: it has the same large kernels, whose weights learned without any offsets.
4 sees every slice at the input size of the whole picture, so that objects get more pixels; large ones may come in
pieces."""

ADAPT = """Both models look at the changed picture. What a model found in the picture as it is must be found again
where the change has moved it: **kept** is a box of the same class that overlaps that place by half (IoU 0.5 or more).
The place of a turned box is the hull of the ellipse inside it. Shrinking and turning leave the middle of the picture
where it is; what nothing covers is grey, as around every picture that the models see. Brightness multiplies the stored
colour values; the blur is in pixels of the changed picture. A kernel that followed the object would zoom and turn as
it does, and the table says whether it does: **zoomed** and **turned** are those of the affine map that takes the
regular grid to the samples best."""

CURVE = """The picture is shrunk in 16 steps, until the object is 4 px large; the sliders do not count here. At every
size both models look, and the best box of the object's class counts that overlaps its place by 0.3 or more, whatever
its score: a box of 4 px that is off by one pixel both ways keeps no more than 0.4."""

OBJECTS = """**From boxes to samples.** A detector keeps the best of many overlapping boxes; each comes from one
**cell** of one pyramid level. Choose a box: which cells gave it, where D-LKA's stages sampled for the winning one, and
what the box's class depends on in both models."""

BOX_EVIDENCE = """*LayerCAM* (Jiang et al., 2021): where the map that enters the detection head speaks for the class of
this one box, the sum over channels of positive gradient times activation. The class branch of stock YOLOv8 sees only 5
x 5 cells of that map; with D-LKA in the head it sees more. *Gradient*: how much each patch of 4 x 4 input pixels
changes the class logit, the box's receptive field on this picture. Both models stand on one scale; colours go by the
square root. *Spread* is the root mean square distance of samples from their mean, *size* the square root of the box
area. *Zoom, rotation* (clockwise) and *shear* (0 none, 1 flattened to a line) are those of the affine map that fits
the moved taps best; *rest* is what it leaves."""

CONDENSATION = """Orange: more samples than the regular grid has there; purple: fewer; all maps have the same scale. If
deformation drew samples onto objects, their share inside boxes would be well above the grid's: the first table says by
how much it is, or is not. Boxes are those of both models. The second table has mean (5 % to 95 %) over all cells of
the picture."""

NUMBERS = """Lengths of all offsets, every tap of every cell, in pixels of your picture. *Moved*: share of offsets
above 0.1 cell. *Varies*: how much an offset differs from cell to cell, in cells; near zero means the same deformation
everywhere. *Outside*: samples beyond the map, which read zero, beside the share that the regular grid has there
anyway. How long offsets are does not say whether they are used. The word above does, from AP on labelled pictures
(`python -m dlka uses`): **in use**, AP falls by 2 points or more, beyond its 95 % interval, with the offsets off and
with another picture's; **small**, one of these falls is beyond its interval; **unused**, neither."""

CLEARED = '<p class="stale">There is no picture. What stands below is of the one before.</p>'
# A comparison that ends when its picture has been taken away: [picture, line, example] -> the same.
IF_CLEARED = f"""(picture, line, example) => picture ? [picture, line, example]
    : [picture, {json.dumps(CLEARED)}, JSON.stringify({{ ...JSON.parse(example), chosen: null, unfit: "" }})]"""
STALE = '<p class="stale">This could not be compared. What stands below is of what was compared before.</p>'

MANY = """# Many pictures
Several pictures or a whole folder: the boxes of both models, where the two disagree, the smallest objects first, and
with labels who is right and what both miss. One HTML file takes it all away."""

MANY_EMPTY = """Nothing is compared yet. Drop pictures or choose a folder, then press **Compare**; or press
**Try examples**, which needs nothing of yours."""

MANY_READ = """Boxes of the same class that overlap by half (IoU 0.5 or more) count as one, of both models.
With labels, a box is a **hit** where it overlaps a labelled object of its class by half or more: the surer box goes
first, and each object is hit once. Objects that are left are **misses**, boxes that are left **false alarms**. Where
one model gives a false alarm, the other one, silent there, is right. Hits and misses are counted by the size of the
labelled box, false alarms by their own.

**Average precision** (AP) is COCO's, of boxes down to a confidence of 0.001, one class a box. Its 95 % intervals say
how far another choice of such pictures could move a number (a paired bootstrap over the labelled pictures). Where the
interval of the difference holds zero, or fewer than 10 pictures have such labels, there are **too few to decide**. How
many it takes is estimated from how much the difference varies between the pictures that are there."""

LABELS = """Labels come with the pictures, in the same drop or folder:

- **YOLO**: `name.txt` for `name.jpg`, a row `class cx cy w h` an object, shares of width and height, or polygons
  (`class x1 y1 x2 y2 ...`), whose boxes are taken. Class numbers are the model's own, unless `classes.txt` (a name a
  line) or a `data.yaml` with `names` comes along. An empty file says that nothing is there; a picture without one is
  not judged.
- **COCO**: one `.json` with images, categories and annotations; pictures are matched by `file_name`, boxes are in
  pixels of the upright picture. Objects with `iscrowd` or `ignore` are neither hit nor missed, and a box that lies in
  one by half is no false alarm.

Classes are matched by name. Labelled objects of classes that the models do not know are left out, and boxes of classes
that nobody labelled are not counted. At most 200 pictures of 20 MB each."""

SEGMENT = """# Where does a kernel look inside a volume?
A network colours the parts of a brain scan or of a blood cell, and shows where its deformable kernel reads for the
place under your pointer. A research model, not for diagnosis."""

SEGMENT_READ = """Three planes cut the volume where the cross is: click or drag in one to move it, turn the wheel or
press page up and down to go through slices, arrow keys to move. Letters are those of the file's header (none where it
does not say), of a tilted volume the nearest: R right, L left, A anterior, P posterior, S superior, I inferior.
Millimetres are the header's too. Slices and voxels are counted from 0. Under the pointer the **27 taps** of the chosen
stage are shown, from the regular grid (rings) to where they were learned (dots). A stage reads a map of its own, whose
cells hold several voxels: the square is the cell of the voxel. Of a volume, the large kernels before them are rigid, as
published: the taps read the map that these made, so that what reaches a cell is wider, by up to 11 cells each way. In a
picture both large kernels deform, 5x5 and 7x7 three cells apart. *Gate*: what the block multiplies its input by, mean
over channels.

*Dice* is the overlap with the true labels, from 0 to 1; *offsets at zero* is the same network without them: where it is
as good, it does not need them. *HD95* is the distance within which 95 % of both surfaces lie of each other."""
