module gounwind

go 1.21
