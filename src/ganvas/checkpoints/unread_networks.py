"""Networks of other projects that are not built here, recognised by the names of their tensors."""

import re
from collections.abc import Iterable

ELSEWHERE = "it runs in its own tool; ESRGAN, Real-ESRGAN, Compact (SRVGGNetCompact) and SRResNet files are read here"
TRAINED = "networks of that kind are trained here, and its own weights run in its own code"
FACES = "it runs in its own tool"
NETWORKS: tuple[tuple[str, str, str], ...] = (  # title, what to do, patterns that all have to match a tensor's name
    ("HAT, a transformer for super-resolution", ELSEWHERE, r"overlap_attn\.|relative_position_index_OCA"),
    ("DAT, a transformer for super-resolution", ELSEWHERE, r"before_RG\.|\.attns?\.\d\.rpe_biases|\.attn\.attns\.\d"),
    ("Swin2SR, a transformer for super-resolution", ELSEWHERE, r"residual_group\..*\.(logit_scale|cpb_mlp\.)"),
    ("SRFormer, a transformer for super-resolution", ELSEWHERE, r"residual_group\..*aligned_relative_position"),
    ("DRCT, a transformer for super-resolution", ELSEWHERE, r"layers\.\d+\.swin\d\."),
    ("ATD, a transformer for super-resolution", ELSEWHERE, r"attn_atd\.|\.td\b"),
    ("SwinIR, a transformer for restoration", ELSEWHERE, r"residual_group\..*\.attn\.(relative_position|qkv)"),
    ("Restormer, a transformer for restoration", ELSEWHERE, r"encoder_level\d\.\d+\.attn\.temperature"),
    ("Uformer, a transformer for restoration", ELSEWHERE, r"encoderlayer_\d\.blocks\.\d+\.attn"),
    ("NAFNet, a network for restoration", ELSEWHERE, r"(encoders|middle_blks)\.\d+\.(\d+\.)?(beta|sca\.1)"),
    ("RCAN, a network for super-resolution", ELSEWHERE, r"body\.\d+\.body\.\d+\.body\.\d+\.conv_du|rcab.*attention"),
    ("EDSR, a network for super-resolution", ELSEWHERE, r"^(model\.)?head\.0\.weight$ ^(model\.)?tail\.0\.0\.weight$"),
    ("OmniSR, a network for super-resolution", ELSEWHERE, r"residual_layer\.\d+\.residual_layer\."),
    ("PLKSR, a network for super-resolution", ELSEWHERE, r"\.(channe_mixer|layer_norm)\.|to_img\.(offset|init_pos)"),
    ("waifu2x's CUnet or Real-CUGAN", ELSEWHERE, r"^unet1\.conv1\.conv\.0\.weight$"),
    ("GFPGAN, a network for faces", FACES, r"stylegan_decoder\.|toRGB\.\d"),
    ("CodeFormer, a network for faces", FACES, r"quantize\.embedding\.weight ft_layers|idx_pred_layer"),
    ("a Stable Diffusion model", FACES, r"^model\.diffusion_model\.|^first_stage_model\.|^down_blocks\..*\.resnets\."),
    ("a LoRA of a diffusion model", FACES, r"lora_(up|down|unet|te)|\.lora_[AB]\."),
    ("CUT's generator, whose up and downsampling is smoothed", f"{TRAINED}: `ganvas train cut`", r"^model\.\d+\.filt$"),
    (
        "pix2pixHD's local enhancer",
        f"{TRAINED} (`ganvas train pix2pix`)",
        r"^model1_1\.1\.weight$ ^model1_2\.\d+\.conv_block",
    ),
    (
        "pix2pixHD's global generator",
        f"{TRAINED} (`ganvas train pix2pix`)",
        r"^model\.10\.weight$ ^model\.13\.weight$ ^model\.16\.conv_block\.1\.weight$",
    ),
    ("SPADE's generator", TRAINED, r"head_0\.norm_0\.mlp_(shared|gamma)"),
    ("MUNIT's generator", TRAINED, r"enc_content\.model\.|gen_a\.enc"),
    ("U-GAT-IT's generator", TRAINED, r"gap_fc\.weight|DownBlock\.1\."),
    ("StyleGAN3's generator", FACES, r"^synthesis\.input\.(freqs|transform)$"),
    ("a StyleGAN2 generator of another design", FACES, r"^style\.1\.weight$ convs\.0\.conv\.modulation"),
    ("a StyleGAN2 generator of another design", FACES, r"^mapping\.fc0\.weight$ ^synthesis\.b4\."),
    ("a network of vision and language (CLIP)", FACES, r"visual\.transformer\.resblocks|text_model\.encoder"),
)


def name_network(names: Iterable[str]) -> tuple[str, str] | None:
    """The title of the network that has tensors of such names, and what to do; None for an unknown one."""
    names = list(names)
    for title, way_out, patterns in NETWORKS:
        if all(any(re.search(pattern, name) for name in names) for pattern in patterns.split(" ")):
            return title, way_out
    return None
