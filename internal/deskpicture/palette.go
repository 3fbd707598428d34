package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
)

// shrink gives a PNG a palette of its 256 most frequent colours. A page of text
// has few colours, and the file becomes less than half as large.
func shrink(raw []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	bounds := full.Bounds()
	count := make(map[color.Color]int)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[color.RGBAModel.Convert(full.At(x, y))]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int {
		r, s := a.(color.RGBA), b.(color.RGBA)
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(r.R, s.R), cmp.Compare(r.G, s.G), cmp.Compare(r.B, s.B))
	})
	chosen := color.Palette(colours[:min(len(colours), 256)])
	index := make(map[color.Color]uint8, len(colours))
	for _, c := range colours {
		index[c] = uint8(chosen.Index(c))
	}
	small := image.NewPaletted(bounds, chosen)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, index[color.RGBAModel.Convert(full.At(x, y))])
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, small); err != nil {
		return nil, fmt.Errorf("write the picture: %w", err)
	}
	return out.Bytes(), nil
}
