"""What the decoding process and its parent say to each other.

On the child's stdin, a line of JSON each; on its stdout, messages: kind, length, and that many bytes.

    <- {"path": …, "decoder": "pyav", "recount": false, "memory_bytes": …, …}
    -> TABLE    JSON: what the file is
    -> TIMES    float64, seconds from the first frame: when each frame is shown
    <- {"indices": [3, 9, …], "decode": true}    numbers of frames, ascending; or the end: the table was enough
    -> 0, 1, …  RGB bytes of the first, second, … of these frames, in any order; none if not to "decode"
    -> DONE     that was all
    -> ERROR    instead, at any time: the rest of a sentence that begins with the file's name
    -> RECOUNT  instead, at any time: frames that the packets promised do not come out; ask again with "recount"
"""

import struct

TABLE, TIMES, DONE, ERROR, RECOUNT = -1, -2, -3, -4, -5
HEADER = struct.Struct("<iQ")


class Refusal(Exception):
    """The file cannot be read; the text is the rest of a sentence that begins with its name."""
