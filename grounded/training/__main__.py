"""``accelerate launch -m grounded.training STAGE ...``: the train command where a launcher needs a module.

To share one model among GPUs: ``accelerate launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy
TRANSFORMER_BASED_WRAP --fsdp_transformer_layer_cls_to_wrap Phi3DecoderLayer -m grounded.training STAGE ...``
(``LlamaDecoderLayer`` for llama3).
"""

from ..command import program
from .cli import train

if __name__ == "__main__":
    program(train)()
