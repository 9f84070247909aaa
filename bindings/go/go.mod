module github.com/tokenprune/tokenprune/bindings/go

go 1.19
