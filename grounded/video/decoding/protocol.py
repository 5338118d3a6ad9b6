"""What the decoding process and its parent say to each other.

On the child's stdin, a line of JSON each; on its stdout, messages: kind, length, and that many bytes.

    <- {"path": …, "decoder": "pyav", "recount": false, "memory_bytes": …, …}
    -> TABLE    JSON: what the file is
    -> TIMES    float64, seconds from the first shown frame: when each shown frame is shown
    <- [3, 9, …]    the numbers of the wanted frames, ascending; or the end, when the table was enough
    -> 0, 1, …  RGB bytes of the first, second, … wanted frame, in any order
    -> DONE     that was all
    -> ERROR    instead, at any time: the rest of a sentence that begins with the file's name
    -> RECOUNT  instead, at any time: frames that the packets promised do not come out; ask again with "recount"
"""

import struct

TABLE, TIMES, DONE, ERROR, RECOUNT = -1, -2, -3, -4, -5
HEADER = struct.Struct("<iQ")
