package tokenprune

import (
	"runtime"

	"github.com/tokenprune/tokenprune/bindings/go/internal/native"
)

// Inputs are handed over at a pruning point; what a stage does not need may be nil. R rows of the
// packed batch, N candidates, B sequences, Q query rows, H query heads, G key heads, C channels,
// D hidden size.
type Inputs struct {
	Q, K             *Tensor // [Q, H, C] after rotary, or of all rows; [R, G, C], [B, L, G, C] or pages
	LSE              *Tensor // [Q, H] f32
	BlockTable       *Tensor // [B, T] i32
	AttentionRows    *Tensor // [Q, H, L]
	Attention        *Tensor // [B, L, H, L]
	Hidden           *Tensor // [R, D]
	NormWeight       *Tensor // [D]
	CLSAttention     *Tensor // [N] or [heads, N]
	Scores           *Tensor // [N]
	Text             *Tensor // [m, D]
	TextOffsets      []int32 // [B + 1]
	Values           *Tensor // as K
	Vision           *Tensor // [N, Dv]
	VisionKeys       *Tensor // [N, Dk]
	CLSShallow       *Tensor
	Clip             *Tensor // [N, Dc]
	ClipText         *Tensor // [m, Dc]
	ClipTextOffsets  []int32 // [B + 1]
	ClipTokens       *Tensor // [l, Dc]
	ClipTokenOffsets []int32 // [B + 1]
	Embeddings       *Tensor // [R0, D]
	PivotOrder       *Tensor // [P] i32 on the host
	Roles, Pools     *Tensor // mergers: [K] i32, [N] i32
	TokenScores      *Tensor // mergers that weigh rows: [N] f32
	PlainQ, PlainK   *Tensor // before rotary: [R, H, C], [R, G, C]
	VisionValues     *Tensor // [N, Dw] of the encoder's last block, heads side by side
}

func (in *Inputs) list() list {
	if in == nil {
		return nil
	}
	l := make(list, 0, 4*recordLength)
	for _, t := range []struct {
		slot   native.Enum_SS_flat_slot
		tensor *Tensor
	}{
		{native.FLAT_Q, in.Q}, {native.FLAT_K, in.K}, {native.FLAT_LSE, in.LSE},
		{native.FLAT_BLOCK_TABLE, in.BlockTable}, {native.FLAT_ATTENTION_ROWS, in.AttentionRows},
		{native.FLAT_ATTENTION, in.Attention}, {native.FLAT_HIDDEN, in.Hidden},
		{native.FLAT_NORM_WEIGHT, in.NormWeight}, {native.FLAT_CLS_ATTENTION, in.CLSAttention},
		{native.FLAT_SCORES, in.Scores}, {native.FLAT_TEXT, in.Text}, {native.FLAT_VALUES, in.Values},
		{native.FLAT_VISION, in.Vision}, {native.FLAT_VISION_KEYS, in.VisionKeys},
		{native.FLAT_CLS_SHALLOW, in.CLSShallow}, {native.FLAT_CLIP, in.Clip},
		{native.FLAT_CLIP_TEXT, in.ClipText}, {native.FLAT_CLIP_TOKENS, in.ClipTokens},
		{native.FLAT_EMBEDDINGS, in.Embeddings}, {native.FLAT_PIVOT_ORDER, in.PivotOrder},
		{native.FLAT_ROLES, in.Roles}, {native.FLAT_POOLS, in.Pools},
		{native.FLAT_TOKEN_SCORES, in.TokenScores}, {native.FLAT_PLAIN_Q, in.PlainQ},
		{native.FLAT_PLAIN_K, in.PlainK},
		{native.FLAT_VISION_VALUES, in.VisionValues},
	} {
		l = l.with(t.slot, t.tensor)
	}
	for _, t := range []struct {
		slot    native.Enum_SS_flat_slot
		offsets []int32
	}{
		{native.FLAT_TEXT_OFFSETS, in.TextOffsets}, {native.FLAT_CLIP_TEXT_OFFSETS, in.ClipTextOffsets},
		{native.FLAT_CLIP_TOKEN_OFFSETS, in.ClipTokenOffsets},
	} {
		if t.offsets != nil {
			l = l.with(t.slot, of(t.offsets, len(t.offsets)))
		}
	}
	return l
}

// alive holds what C was given an address of until a call is over.
func alive(held ...any) {
	for _, h := range held {
		runtime.KeepAlive(h)
	}
}
