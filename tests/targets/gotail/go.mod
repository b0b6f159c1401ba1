module tail

go 1.21
