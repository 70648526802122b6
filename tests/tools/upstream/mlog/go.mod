// What the driver uses of a module that is not to be had everywhere.
module monis.app/mlog

go 1.26.0

require k8s.io/klog/v2 v2.100.1
